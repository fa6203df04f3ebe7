"""The real suite, started by `manage.py up` on free ports with a data folder of its own, for tests that use clients."""

import ctypes
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from command_server import CommandServer
from dns_server import DnsServer

from mailsuite.supervisor import probe

BASE = Path(__file__).resolve().parent.parent.parent
LISTENERS = ("SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S", "HTTP", "HTTPS")
STOP_SECONDS = 20
# Other tests run beside these (tests/run.py), from other ports.
_FIRST = int(os.environ.get("TEST_FIRST_PORT", "10000"))
PORTS = (_FIRST, _FIRST + 6_999)
_given: set[int] = set()
_libc = ctypes.CDLL(None)


def free_port() -> int:
    """A port nobody listens on, below those that the kernel gives to clients: one of them may not take it from a
    suite that is just being restarted. Each is given once, for it may be long until somebody listens there."""
    while True:
        port = random.randint(*PORTS)
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


class Suite:
    """One suite. `environment` is added to its settings; ports stay the same over restarts.

    All that it knows of the world is `dns`, which answers NXDOMAIN but for what a test puts into `dns.records`; the
    suite remembers answers for some seconds at least. A test that names a MAILSUITE_RESOLVER has its own instead.
    """

    def __init__(self, data: Path, environment: dict[str, str]) -> None:
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._commands: CommandServer | None = None
        self.dns = None if "MAILSUITE_RESOLVER" in environment else DnsServer().start()
        self.environment = os.environ | {
            "MAILSUITE_RESOLVER": self.dns.address if self.dns else "",
            "MAILSUITE_DATA": str(data),
            "MAILSUITE_HOSTNAME": "mx.suite.test",
            "MAILSUITE_ALLOW_PRIVATE_HOSTS": "127.0.0.0/8,::1/128",
            **{f"MAILSUITE_LISTEN_{name}": f"127.0.0.1:{free_port()}" for name in LISTENERS},
            **environment,
        }

    @property
    def certificate(self) -> Path:
        """The self-signed certificate, which names localhost and 127.0.0.1: clients trust it as their root."""
        return self.data / "tls" / "cert.pem"

    @property
    def state(self) -> dict:
        return json.loads((self.data / "run" / "suite.json").read_text())

    @property
    def services(self) -> dict[str, list[int]]:
        """Process ids by service."""
        return self.state["services"]

    def port(self, listener: str) -> int:
        """Where `listener` is on 127.0.0.1."""
        return self.state["listeners"][listener][0][1]

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port('HTTP')}{path}"

    def start(self, *arguments: str, wait: float = 90) -> "Suite":
        """Starts `up` in a session of its own, whose id is the process id, and waits until every listener answers."""
        with open(self.log, "ab") as log:
            command = [sys.executable, str(BASE / "manage.py"), "up", *arguments]
            self.process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_tests,
            )
        deadline = time.monotonic() + wait
        while not self._is_described():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the suite did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.wait_ready(wait)
        return self

    def _is_described(self) -> bool:
        """Whether suite.json is this start's; after a power cut it may be an empty file of the last one's."""
        try:
            return self.process is not None and self.state["pid"] == self.process.pid
        except (FileNotFoundError, ValueError):
            return False

    def wait_ready(self, seconds: float = 90) -> None:
        """Waits as `status --wait` does, which would cost a process each time."""
        deadline = time.monotonic() + seconds
        while unready := [answer for answer in self._ask_all() if not answer.ready]:
            if time.monotonic() > deadline:
                said = "\n".join(map(str, unready))
                pytest.fail(f"the suite did not become ready:\n{said}\n{self.log.read_text()}")
            time.sleep(0.02)

    def _ask_all(self) -> Iterator[probe.Answer]:
        state = self.state
        if "store" in state["services"]:
            yield probe.ask_store(self.data / "run" / "store.sock", 5)
        for name, places in state["listeners"].items():
            yield from (probe.ask(name, host, port, 5) for host, port in places)

    def run(self, *arguments: str, input: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a command of manage.py with this suite's settings; while the suite runs, in a fork of one process."""
        if self.process is None or arguments[0] == "up":
            command = [sys.executable, str(BASE / "manage.py"), *arguments]
            return subprocess.run(
                command, env=self.environment, input=input, capture_output=True, text=True, timeout=timeout
            )
        self._commands = self._commands or CommandServer(self.environment)
        return self._commands.run(arguments, self.environment, input, timeout)

    def manage(self, *arguments: str, input: str = "") -> str:
        """What a command printed; fails the test when the command fails."""
        done = self.run(*arguments, input=input)
        if done.returncode:
            pytest.fail(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def add_domain(self, name: str) -> None:
        self.manage("domain", "add", name)

    def add_mailbox(self, address: str, password: str) -> None:
        self.manage("mailbox", "add", address, "--password-stdin", "--weak-password-ok", input=password + "\n")

    def add_mailboxes(self, addresses: list[str], password: str) -> None:
        """Many at once: each start of the command costs a second."""
        table = self.data.parent / f"{self.data.name}-mailboxes.csv"
        table.write_text("".join(f"{address},{password}\n" for address in addresses))
        self.manage("mailbox", "import", str(table), "--weak-password-ok")

    def add_alias(self, address: str, *targets: str) -> None:
        self.manage("alias", "add", address, *targets)

    def stop(self) -> None:
        """Ends the suite as Ctrl-C does; fails the test unless it ends cleanly, in time, leaving no process."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        left = self.processes()
        self.kill()
        if code != 0 or left:
            pytest.fail(f"the suite ended with {code} and left {left}:\n{self.log.read_text()}")

    def kill(self) -> None:
        """Ends every process of the suite at once, with SIGKILL, and waits until they are gone."""
        if self._commands:
            self._commands.end()
            self._commands = None
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for _ in range(500):
            if not self.processes():
                break
            time.sleep(0.01)
        self.process = None

    def processes(self) -> list[int]:
        """The living processes of the suite's session."""
        return [] if self.process is None else processes_of_session(self.process.pid)


def _end_with_tests() -> None:
    """In the new process: has the kernel end it when pytest is killed and can't (PR_SET_PDEATHSIG is 1)."""
    _libc.prctl(1, signal.SIGTERM)


def processes_of_session(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # After the name in brackets: state, parent, group, session (proc(5)).
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(folder.name))
    return found


@contextmanager
def _new_suites(migrated: "Migrated | None") -> Iterator[Callable[..., Suite]]:
    """Makes suites, each with its own data folder and, on PostgreSQL, its own database; removes them at the end."""
    # Short, since the path of a Unix socket may have 107 octets.
    folder = Path(tempfile.mkdtemp(prefix="suite-"))
    server = os.environ.get("DATABASE_URL", "")
    suites: list[Suite] = []
    databases: list[str] = []

    def new_suite(*, from_nothing: bool = migrated is None, **environment: str) -> Suite:
        data = folder / str(len(suites))
        if "DATABASE_URL" not in environment:
            template = "" if from_nothing or migrated is None else migrated.template()
            if server:
                databases.append(f"suite_{uuid.uuid4().hex[:12]}")
                _administer(server, f"CREATE DATABASE {databases[-1]} {template and f'TEMPLATE {template}'}")
                environment["DATABASE_URL"] = _with_name(server, databases[-1])
            elif template:
                data.mkdir(mode=0o700)
                shutil.copy(template, data)
        suites.append(Suite(data, environment))
        return suites[-1]

    try:
        yield new_suite
    finally:
        for one in suites:
            one.kill()
            if one.dns:
                one.dns.stop()
        for name in databases:
            _administer(server, f"DROP DATABASE {name} WITH (FORCE)")
        shutil.rmtree(folder)


class Migrated:
    """A database with tables and no row of ours, from which suites start as after an upgrade that changed none: to run
    all migrations costs more than all else that a start does."""

    def __init__(self, new_suite: Callable[..., Suite]) -> None:
        self._new_suite = new_suite
        self._template = ""

    def template(self) -> str:
        """Its name, on SQLite its path; made when first asked for."""
        if not self._template:
            suite = self._new_suite()
            suite.manage("migrate")
            if url := suite.environment.get("DATABASE_URL"):
                self._template = url.partition("?")[0].rpartition("/")[2]
            else:
                self._template = str(_whole(suite.data / "mailsuite.sqlite3"))
        return self._template


def _whole(database: Path) -> Path:
    """A copy of the SQLite database of the same name that needs no write-ahead log beside it."""
    folder = database.parent / "template"
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(folder / database.name)) as copy:
        source.backup(copy)
    return folder / database.name


def _with_name(url: str, name: str) -> str:
    front, question, options = url.partition("?")
    return f"{front.rpartition('/')[0]}/{name}{question}{options}"


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(_with_name(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def suite() -> Iterator[Suite]:
    """One running suite, started from nothing, for all tests that leave it as healthy as they found it."""
    with _new_suites(None) as new:
        running = new().start()
        yield running
        running.stop()


@pytest.fixture(scope="session")
def migrated() -> Iterator[Migrated]:
    with _new_suites(None) as new:
        yield Migrated(new)


@pytest.fixture
def new_suite(migrated: Migrated) -> Iterator[Callable[..., Suite]]:
    """Makes suites that are not started yet, whose tables are there: `new_suite(MAILSUITE_RETRY="1s").start()`. With
    `from_nothing=True` they have no table either."""
    with _new_suites(migrated) as new:
        yield new


@pytest.fixture
def start_suite(new_suite: Callable[..., Suite]) -> Callable[..., Suite]:
    """Starts suites for one test that kills, restarts or configures them: `start_suite(MAILSUITE_RETRY="1s")`."""
    return lambda **environment: new_suite(**environment).start()
