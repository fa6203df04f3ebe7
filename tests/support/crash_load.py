"""Load whose every promise is written down: clients that work on the suite until it is killed under them.

Each client keeps a model: for every message the states that it may be in, given what was acknowledged. A command that
was never answered leaves two possibilities; everything else leaves one. After the restart `verify` looks by IMAP.
"""

import imaplib
import random
import re
import smtplib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from running_suite import Suite

FOLDERS = ("INBOX", "Archive", "Trash")
# Seconds from the start of the load to the kill: its beginning, its middle, and moments nobody chose.
MOMENTS = (0.2, 2.5)
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "$Important")
GONE = None
State = tuple[str, frozenset[str]] | None


class Cut(Exception):
    """The suite can't answer just now, and says so."""


class ServerBug(Exception):
    """What a suite whose disk is gone may say, and no other."""


def is_cut(error: Exception) -> bool:
    """Whether it is what a killed suite shows: a closed connection, a temporary refusal. All else is a bug of ours."""
    match error:
        case smtplib.SMTPResponseException(smtp_code=code):
            return 400 <= code < 500 or code == -1
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            return all(400 <= code < 500 for code, _ in recipients.values())
        case Cut() | OSError() | EOFError() | imaplib.IMAP4.abort():
            return True
    return False


def done(answer: tuple[str, list[bytes]]) -> None:
    """Fails unless the command was done; a store that is away is no failure."""
    if answer[0] == "NO" and b"UNAVAILABLE" in answer[1][0]:
        raise Cut
    if answer[0] == "NO" and b"SERVERBUG" in answer[1][0]:
        raise ServerBug(answer)
    assert answer[0] == "OK", answer


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def open_imap(suite: Suite, address: str, password: str) -> Iterator[imaplib.IMAP4_SSL]:
    """A session; its socket is closed whatever becomes of it, which imaplib sees to only when LOGOUT is answered."""
    client = imaplib.IMAP4_SSL("127.0.0.1", suite.port("IMAPS"), ssl_context=tls_context(), timeout=30)
    try:
        client.login(address, password)
        yield client
    finally:
        client.shutdown()


def contents(client: imaplib.IMAP4, folder: str) -> list[tuple[int, str, frozenset[str]]]:
    """(uid, subject, flags) of everything in the folder."""
    done(client.select(folder, readonly=True))
    _, answers = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = []
    for item in answers:
        if not isinstance(item, tuple):
            continue
        uid = int(re.search(rb"UID (\d+)", item[0])[1])
        flags = re.search(rb"FLAGS \(([^)]*)\)", item[0])[1].decode().split()
        subject = item[1].decode().partition(":")[2].strip()
        found.append((uid, subject, frozenset(flags) - {"\\Recent"}))
    return found


@dataclass
class Client(threading.Thread):
    """Works in `work` until the connection is cut; `seed` decides what it does."""

    suite: Suite
    address: str
    password: str
    seed: int
    states: dict[str, set[State]] = field(default_factory=dict)
    failure: Exception | None = None

    def __post_init__(self) -> None:
        super().__init__(name=self.address, daemon=True)
        self.random = random.Random(self.seed)
        self.acknowledged = 0
        self._ending = threading.Event()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self.work()
        except Exception as error:
            self.failure = None if is_cut(error) else error

    def work(self) -> None:
        """A few steps; an error that `is_cut` ends the client's round."""
        raise NotImplementedError

    def stop_soon(self) -> None:
        """For those whose connection nobody cuts."""
        self._ending.set()

    def restarted(self) -> "Client":
        """The same client, with what it knows, for the next round."""
        again = type(self)(self.suite, self.address, self.password, self.random.randrange(1 << 30), self.states)
        again.acknowledged = self.acknowledged
        return again

    def new_name(self) -> str:
        return f"{self.random.getrandbits(64):016x}"

    def message(self, name: str) -> bytes:
        filler = b"x" * 70 + b"\r\n"
        body = filler * self.random.choice((1, 50, 50, 5000))
        return b"From: crash@remote.test\r\nSubject: %s\r\n\r\n%s" % (name.encode(), body)

    def verify(self) -> None:
        """Looks at every folder; afterwards each message has the one state that was seen."""
        seen: dict[str, State] = {}
        copies: Counter[str] = Counter()
        with open_imap(self.suite, self.address, self.password) as client:
            for folder in FOLDERS:
                for _, name, flags in contents(client, folder):
                    seen[name] = (folder, flags)
                    copies[name] += 1
        assert not (doubled := [name for name, count in copies.items() if count > 1]), (
            f"{self.address}: {doubled} doubled"
        )
        assert not (risen := seen.keys() - self.states.keys()), f"{self.address}: nobody sent {risen}"
        for name, allowed in self.states.items():
            state = seen.get(name, GONE)
            assert state in allowed, f"{self.address}: {name} is {state}, acknowledged was {allowed}"
            self.states[name] = {state}


class Sender(Client):
    """Sends by SMTP as a stranger would, a connection for some messages each."""

    def work(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.suite.port("SMTP"), "load.remote.test", timeout=30) as client:
            for _ in range(self.random.randint(1, 5)):
                name = self.new_name()
                self.states[name] = {GONE, ("INBOX", frozenset())}
                client.sendmail("crash@remote.test", [self.address], self.message(name))
                self.states[name] = {("INBOX", frozenset())}
                self.acknowledged += 1


class Worker(Client):
    """Appends, flags, moves and expunges by IMAP."""

    def work(self) -> None:
        with open_imap(self.suite, self.address, self.password) as client:
            while not self._ending.is_set():
                folder = self.random.choice(FOLDERS)
                uids = {name: uid for uid, name, _ in contents(client, folder)}
                done(client.select(folder))
                for _ in range(20):
                    self._step(client, folder, uids)

    def _step(self, client: imaplib.IMAP4, folder: str, uids: dict[str, int]) -> None:
        if not uids or self.random.random() < 0.4:
            return self._append(client, folder)
        name = self.random.choice(sorted(uids))
        step = self.random.choice((self._flag, self._flag, self._move, self._expunge))
        return step(client, folder, name, uids)

    def _change(self, client: imaplib.IMAP4, name: str, after: State, *command: object) -> None:
        """Sends a command that, once answered, leaves the message in the state `after`."""
        before = self.states.get(name, {GONE})
        self.states[name] = before | {after}
        done(client.uid(*command))
        self.states[name] = {after}
        self.acknowledged += 1

    def _append(self, client: imaplib.IMAP4, folder: str) -> None:
        name = self.new_name()
        self.states[name] = {GONE, (folder, frozenset())}
        done(client.append(folder, None, None, self.message(name)))
        self.states[name] = {(folder, frozenset())}
        self.acknowledged += 1

    def _flag(self, client: imaplib.IMAP4, folder: str, name: str, uids: dict[str, int]) -> None:
        ((_, flags),) = self.states[name]
        flag = self.random.choice(FLAGS)
        sign = "-" if flag in flags else "+"
        self._change(client, name, (folder, flags ^ {flag}), "STORE", str(uids[name]), f"{sign}FLAGS", f"({flag})")

    def _move(self, client: imaplib.IMAP4, folder: str, name: str, uids: dict[str, int]) -> None:
        ((_, flags),) = self.states[name]
        target = self.random.choice([other for other in FOLDERS if other != folder])
        self._change(client, name, (target, flags), "MOVE", str(uids.pop(name)), target)

    def _expunge(self, client: imaplib.IMAP4, folder: str, name: str, uids: dict[str, int]) -> None:
        ((_, flags),) = self.states[name]
        uid = str(uids.pop(name))
        self._change(client, name, (folder, flags | {"\\Deleted"}), "STORE", uid, "+FLAGS", "(\\Deleted)")
        self._change(client, name, GONE, "EXPUNGE", uid)


class Submitter(Client):
    """Submits to somebody here and somebody far away at once: both, or neither, must come of it."""

    def work(self) -> None:
        context = tls_context()
        with smtplib.SMTP_SSL(
            "127.0.0.1", self.suite.port("SUBMISSIONS"), "laptop", timeout=30, context=context
        ) as client:
            client.login(self.address, self.password)
            for _ in range(5):
                name = self.new_name()
                message = self.message(name).replace(b"crash@remote.test", self.address.encode())
                self.states[name] = {GONE, ("INBOX", frozenset())}
                client.sendmail(self.address, [self.address, f"{name}@far.test"], message)
                self.states[name] = {("INBOX", frozenset())}
                self.acknowledged += 1

    def verify(self) -> None:
        super().verify()
        queued = self.suite.manage("queue", "list", "--limit", "100000")
        for name, state in self.states.items():
            assert (f"{name}@far.test" in queued) == (state != {GONE}), (
                f"{name} is {state} here and not so in the queue"
            )


def hide_far_domain(suite: Suite) -> None:
    """Has DNS know nothing for now of where submitters send, so that it stays in the queue."""
    suite.dns.records["far.test", "MX"] = "servfail"


def work_until(
    clients: list[Client],
    chance: random.Random,
    kill: Callable[[], None],
    then: Callable[[], None] = lambda: None,
    tolerate: tuple[type[Exception], ...] = (),
) -> list[Client]:
    """Lets all work, kills at a random moment, waits until they have noticed; returns them ready for another round. The
    first time the moment comes after each was acknowledged something, however long a busy machine takes for that."""
    for client in clients:
        client.start()
    deadline = time.monotonic() + 60
    while any(client.is_alive() and not client.acknowledged for client in clients) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(chance.uniform(*MOMENTS))
    kill()
    then()
    for client in clients:
        client.stop_soon()
        client.join(60)
        assert not client.is_alive(), f"{client.address} hangs"
        if client.failure and not isinstance(client.failure, tolerate):
            raise client.failure
    return [client.restarted() for client in clients]
