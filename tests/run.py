"""Runs the tests on SQLite and, where PostgreSQL's server programs are, beside that on a throw-away cluster.

`python3 manage.py test` calls it; arguments go on to pytest, `--sqlite-only` leaves the second database out. Without
arguments, what starts programs and mostly waits for them runs beside what mostly computes.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from postgresql_cluster import find_programs, throw_away_cluster  # noqa: E402

BASE = Path(__file__).resolve().parent.parent
PYTEST = (sys.executable, "-m", "pytest")
# Folders whose tests start whole suites, browsers and peers.
PROGRAMS = tuple(f"tests/{name}" for name in ("interop", "crash", "browser", "supervisor", "deploy"))
END_SECONDS = 30
NO_TESTS_COLLECTED = 5
Running = tuple[str, subprocess.Popen[bytes], BinaryIO]


def main(arguments: list[str]) -> int:
    # So that a cluster is removed when the run is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sqlite_only = "--sqlite-only" in arguments
    arguments = [argument for argument in arguments if argument != "--sqlite-only"]
    programs = None if sqlite_only else find_programs()
    with ExitStack() as stack:
        beside = []
        if programs:
            url = stack.enter_context(throw_away_cluster(programs))
            beside.append(stack.enter_context(started("PostgreSQL", arguments, {"DATABASE_URL": url} | ports(1))))
        if not arguments:
            beside.append(stack.enter_context(started("SQLite, with other programs", PROGRAMS, ports(2))))
            arguments = [f"--ignore={folder}" for folder in PROGRAMS]
        say("Tests on SQLite")
        codes = [subprocess.run([*PYTEST, *arguments], cwd=BASE, env=environment({})).returncode]
        codes += [follow(*running) for running in beside]
    if programs is None and not sqlite_only:
        say("PostgreSQL's server programs are not here (Debian: apt install postgresql): tested on SQLite alone.")
        codes.append(1 if os.environ.get("TESTS_SKIP_NOTHING") else 0)
    # What is for one database alone leaves nothing for the other's run; all of them without a test is an error.
    failed = [code for code in codes if code not in (0, NO_TESTS_COLLECTED)]
    return failed[0] if failed else min(codes)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This shell's, with the database that the settings name, or else SQLite."""
    return {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | dict(settings)


def ports(number: int) -> dict[str, str]:
    """Where the suites of a run listen: each run has its own range, or one might take what another is about to."""
    return {"TEST_FIRST_PORT": str(10_000 + 7_000 * number)}


@contextmanager
def started(name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> Iterator[Running]:
    """A run in the background, and what it prints; it is ended when the caller is ended first."""
    own_cache = ("-o", f"cache_dir=.pytest_cache/{name.partition(',')[0].lower()}-beside")
    with tempfile.NamedTemporaryFile() as written, open(written.name, "rb") as printed:
        process = subprocess.Popen(
            [*PYTEST, *own_cache, *arguments],
            cwd=BASE,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
        )
        try:
            yield name, process, printed
        finally:
            # As Ctrl-C would, so that the servers that it started end too.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def follow(name: str, process: subprocess.Popen[bytes], printed: BinaryIO) -> int:
    """Shows what the run printed, and goes on doing so until it ends; returns its exit status."""
    say(f"Tests on {name}")
    while True:
        code = process.poll()
        shutil.copyfileobj(printed, sys.stdout.buffer)
        sys.stdout.flush()
        if code is not None:
            return code
        time.sleep(0.2)


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
