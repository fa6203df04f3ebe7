"""The parent with services made for the test: one that crashes, one that will not end, one on an event loop."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Services write a line for each thing that happens to them; the pauses and patience of the parent are short here.
SUITE = """
import asyncio, os, select, signal, sys, threading, time
from pathlib import Path
from mailsuite.configuration import read_configuration
from mailsuite.env import Environment
from mailsuite.server import pulse
from mailsuite.server.pulse import WatchedPool
from mailsuite.server.service import join_suite
from mailsuite.supervisor import log, parent
from mailsuite.supervisor.lock import lock_data_folder
from mailsuite.supervisor.services import Service

def say(text):
    os.write(1, (text + "\\n").encode())

def crashes(context):
    say("crashes")
    raise RuntimeError("a bug")

def stubborn(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("stubborn runs")
    while True:
        time.sleep(60)

def wait_for_end(context):
    told, tell = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"x"))
    say(f"{context.name} runs")
    select.select([told, context.parent_pipe], [], [])

def patient(context):
    wait_for_end(context)
    time.sleep(1.0)
    say("patient ends")

def beats_once(context):
    context.pulse.beat()
    say(f"{context.name} runs")

def spins(context):
    beats_once(context)
    while True:
        pass

def works_in_c(context):
    beats_once(context)
    # One call that takes for ever and holds the GIL.
    sum(range(10**15))

def is_stopped(context):
    beats_once(context)
    os.kill(os.getpid(), signal.SIGSTOP)

def deadlocked(context):
    async def serve():
        end = asyncio.Event()
        join_suite(context, asyncio.get_running_loop(), end.set)
        pool, held = WatchedPool(2, "login", limit_seconds=0.3), threading.Lock()
        held.acquire()
        for _ in range(3):
            pool.submit(held.acquire)
        say("deadlocked runs")
        await end.wait()
    asyncio.run(serve())

def looping(context):
    async def serve():
        end = asyncio.Event()
        join_suite(context, asyncio.get_running_loop(), end.set)
        say(f"looping runs {context.index} of {context.workers}")
        await end.wait()
        say("looping ends")
    asyncio.run(serve())

def store(context):
    wait_for_end(context)
    say("store ends")

parent.FIRST_PAUSE, parent.LONGEST_PAUSE = 0.01, 0.04
parent.LOOK_SECONDS, parent.LATE_SECONDS, parent.STACKS_SECONDS, pulse.BEAT_SECONDS = 0.05, 0.2, 1.0, 0.02
SILENCE = {"spins": 0.5, "works_in_c": 0.5, "is_stopped": 0.5, "quiet": 0.5}
GRACE = {"stubborn": 0.5, "is_stopped": 0.1, "patient": 20.0}
data = Path(sys.argv[1])
(data / "run").mkdir()
configuration = read_configuration(Environment({"MAILSUITE_DATA": str(data), "MAILSUITE_WORKERS": "2"}), data)
log.configure("up")
lock_data_folder(data)
functions = {name: globals()[name] for name in sys.argv[2:]}
runs = [
    (
        Service(
            name,
            "",
            per_worker=name == "looping",
            grace_seconds=GRACE.get(name, 10.0),
            silence_seconds=SILENCE.get(name, 60.0),
        ),
        run,
    )
    for name, run in functions.items()
]
suite = parent.Parent(configuration, {}, runs)
suite.start()
suite.run()
"""


class Running:
    def __init__(self, data: Path, *services: str) -> None:
        self._log = data / "log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", SUITE, str(data), *services], stdout=log, stderr=log)

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """Everything said so far, once `pattern` has been said so many times."""
        deadline = time.monotonic() + 20
        while len(re.findall(pattern, self.said)) < times:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
        return self.said

    @property
    def said(self) -> str:
        return self._log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        assert self.process.wait(20) == 0, self.said
        return self.said


@pytest.fixture
def run(tmp_path):
    running: list[Running] = []

    def run(*services: str) -> Running:
        running.append(Running(tmp_path, *services))
        return running[-1]

    yield run
    for one in running:
        one.process.kill()
        one.process.wait()


def test_pauses_grow_to_a_limit_and_restarts_are_counted(run, tmp_path):
    suite = run("crashes")
    said = suite.wait_for("starts again in", times=5)
    assert re.findall(r"starts again in ([\d.]+) s", said)[:5] == ["0.01", "0.02", "0.04", "0.04", "0.04"]
    assert "RuntimeError: a bug" in said
    assert json.loads((tmp_path / "run" / "suite.json").read_text())["restarts"]["crashes"] >= 4
    suite.end()


def test_the_store_ends_last(run):
    suite = run("store", "looping")
    suite.wait_for("looping runs", times=2)
    suite.wait_for("store runs")
    said = suite.end()
    assert re.findall("(looping|store) ends", said) == ["looping", "looping", "store"]
    assert sorted(re.findall(r"looping runs (\d of \d)", said)) == ["0 of 2", "1 of 2"]
    assert "killed" not in said


def test_a_service_that_does_not_end_is_killed(run):
    suite = run("store", "stubborn")
    suite.wait_for("stubborn runs")
    suite.wait_for("store runs")
    said = suite.end()
    assert "stubborn did not end in time and is killed" in said
    assert "store ends" in said


def test_each_service_has_a_grace_of_its_own(run):
    suite = run("store", "stubborn", "patient")
    for name in ("store", "stubborn", "patient"):
        suite.wait_for(f"{name} runs")
    said = suite.end()
    assert (
        said.index("stubborn did not end in time and is killed") < said.index("patient ends") < said.index("store ends")
    )
    assert "patient did not end" not in said


def test_the_end_of_the_pipe_is_enough(run):
    """Without the kernel's signal, as when the parent forked from a thread."""
    suite = run("store", "looping")
    suite.wait_for("looping runs", times=2)
    suite.wait_for("store runs")
    suite.process.kill()
    suite.wait_for("looping ends", times=2)
    suite.wait_for("store ends")


def test_hang_up_changes_nothing(run):
    suite = run("store")
    suite.wait_for("store runs")
    suite.process.send_signal(signal.SIGHUP)
    suite.wait_for("Nothing to reread")
    assert suite.end().count("store runs") == 1


def test_services_have_their_names(run, tmp_path):
    suite = run("store")
    suite.wait_for("store runs")
    children = Path(f"/proc/{suite.process.pid}/task/{suite.process.pid}/children").read_text().split()
    assert [Path(f"/proc/{pid}/comm").read_text() for pid in children] == ["ms-store\n"]
    # The service may be quicker than the parent, which has forked it and goes on.
    deadline = time.monotonic() + 20
    while not (tmp_path / "run" / "suite.json").exists():
        assert time.monotonic() < deadline, suite.said
        time.sleep(0.01)
    suite.end()


def test_what_stands_still_says_where_and_is_started_again(run):
    """One that spins, one in a call that never ends, one that is stopped, one whose threads wait for each other."""
    stack = r"What it was doing:\n(    .*\n|\n)*?      File .* in "
    doing = {"spins": f"{stack}spins", "works_in_c": f"{stack}works_in_c", "deadlocked": f"{stack}_timed"}
    doing["is_stopped"] = "It could not write what it was doing"
    suite = run("looping", *doing)
    for name, place in doing.items():
        said = suite.wait_for(f"{name} runs", times=2)
        assert f"{name} stands still" in said
        assert re.search(f"{name} is killed. {place}", said)
        assert f"{name} ended by signal SIGKILL; it starts again" in said
    assert "deadlocked stands still: its login threads" in said
    assert "looping/0 stands still" not in said and "looping/0 ended" not in said
    suite.end()


def test_what_stands_still_or_is_not_there_is_told_in_the_state(run, tmp_path):
    suite, path = run("stubborn", "crashes"), tmp_path / "run" / "suite.json"

    def told() -> dict[str, str]:
        return json.loads(path.read_text()).get("troubles", {}) if path.exists() else {}

    deadline = time.monotonic() + 20
    while not (told().get("stubborn") == "stands still" and "is not running" in told().get("crashes", "")):
        assert time.monotonic() < deadline, (told(), suite.said)
        time.sleep(0.01)
    suite.end()


def test_a_service_manager_is_told_of_life_and_end(tmp_path, run, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        suite = run("store")
        assert manager.recv(1000).startswith(b"READY=1")
        assert manager.recv(1000) == b"WATCHDOG=1"
        suite.wait_for("store runs")
        suite.process.send_signal(signal.SIGTERM)
        while (said := manager.recv(1000)) == b"WATCHDOG=1":
            pass
        assert said.startswith(b"STOPPING=1")
    suite.end()
