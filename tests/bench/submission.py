"""Measures submissions a second beside Postfix with Dovecot's SASL and the opendkim milter, in turn, and prints a table
of ratios. Not a test: nothing fails.

    python3 manage.py bench submission [--rounds 3] [--messages 1000] [--only connections,kept,friends]

Needs root, postfix, dovecot and opendkim. SESSIONS mailboxes write at once, each in a session of its own: TLS from the
first octet, AUTH PLAIN, 4 KB to one recipient elsewhere. Both sides see to it that nobody writes as somebody else and
sign by RSA-2048, relaxed/relaxed, the same fields. What is measured is accepting; what was accepted stays in the queue,
since both sides' mail goes to a port where nobody listens, and is waited for to be tried there before the other side's
turn. Ours counts what each mailbox sends, and its recipients, under caps that nobody reaches; "friends" are recipients
whom it wrote to before, which shows what remembering new ones costs. At the end every message of both queues is looked
at: whether they are all there, and signed.
"""

import argparse
import itertools
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from clients import submissions
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from folders import bench_folder, side_folder
from oracles import TestKey, opendkim_verifies, zone_of
from ours import Ours
from peer import DOMAIN, PASSWORD, QUIET, Peer, free_port, wait_for_port
from signing import LINE, OPENDKIM, OVERSIGNED

SESSIONS = 20
OCTETS = 4096
KEPT = 20
WAIT_SECONDS = 300
HEADER = (
    "From: Someone Somewhere <{sender}>\r\nTo: Other Person <{recipient}>\r\nSubject: message number {n}\r\n"
    "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}.bench@example.test>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\n"
)
Side = Ours | Peer
numbers = itertools.count(1)


def stranger(session: int) -> str:
    return f"r{next(numbers)}@remote.test"


def friend(session: int) -> str:
    return f"friend{session}@remote.test"


# name, messages in a connection, to whom, unit
MEASURES: dict[str, tuple[int, Callable[[int], str], str]] = {
    "connections": (1, stranger, "submissions/s, a connection each"),
    "kept": (KEPT, stranger, f"submissions/s, {KEPT} in a connection"),
    "friends": (1, friend, "submissions/s, a connection each, friends"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=1000, help="in each round, by all sessions together")
    parser.add_argument("--only", default=",".join(MEASURES))
    options = parser.parse_args()
    wanted = options.only.split(",")
    folder = bench_folder()
    mine, theirs = side_folder(folder), side_folder(folder)
    with _nobody() as nobody, _signer(folder / "opendkim") as (signer, key):
        ours = Ours(mine / "ours", aliases=0, MAILSUITE_RETRY="1d")
        peer = Peer(theirs / "peer", mine / "ours/tls/cert.pem", mine / "ours/tls/key.pem", [signer], nobody)
        try:
            ours.start()
            ours.suite.manage("shell", "-v0", "-c", RAISE_CAPS)
            ours.suite.manage("route", "add", "*", f"smtp://127.0.0.1:{nobody}")
            peer.start()
            bench = Bench(ours, peer, options.messages // SESSIONS)
            bench.compare([name for name in MEASURES if name in wanted], options.rounds)
            _expect_signed(ours.name, *_queued_by_ours(ours), bench.sent)
            _expect_signed(peer.name, _queued_by_peer(peer), zone_of(key), bench.sent)
        finally:
            peer.stop()
            ours.stop()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _nobody() -> Iterator[int]:
    """A port where nobody listens, kept from those who might."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def _signer(folder: Path) -> Iterator[tuple[int, TestKey]]:
    """opendkim as a milter, the port it is on, and the key with which it signs."""
    folder.mkdir()
    key, port = TestKey(DOMAIN, "r1", generate_private_key(65537, 2048)), free_port()
    (folder / "key").touch(0o600)
    (folder / "key").write_text(key.pem)
    (folder / "conf").write_text(SIGNER.format(folder=folder, port=port, domain=DOMAIN, fields=OVERSIGNED))
    process = subprocess.Popen([OPENDKIM, "-f", "-x", folder / "conf"], stdin=subprocess.DEVNULL, **QUIET)
    try:
        wait_for_port(port)
        yield port, key
    finally:
        process.kill()  # asked to end, it takes five seconds
        process.wait(10)


SIGNER = """
Mode s
Socket inet:{port}@127.0.0.1
Domain {domain}
Selector r1
KeyFile {folder}/key
RequireSafeKeys no
Canonicalization relaxed/relaxed
SignHeaders {fields}
OversignHeaders {fields}
UserID root
PidFile {folder}/pid
Syslog no
"""
RAISE_CAPS = """
from mailsuite.abuse.models import SendingSettings
SendingSettings.objects.update_or_create(pk=1, defaults={"messages_a_day": 10**6, "new_recipients_a_day": 10**6})
"""
AWAIT_TRIED = f"""
import time
from mailsuite.queue.models import QueuedRecipient
for _ in range({WAIT_SECONDS * 10}):
    if not QueuedRecipient.objects.filter(last_reply="").exists():
        break
    time.sleep(0.1)
else:
    raise SystemExit("the queue is not through")
"""
# What waits and is not held, each with its header; the records of the keys; one of the messages.
READ_QUEUE = f"""
import json
from mailsuite.queue.models import QueuedMessage
from mailsuite.signing.models import DkimKey
from mailsuite.writer.storage import mail_storage
waiting = QueuedMessage.objects.filter(settled_at=None, held_at=None).select_related("content")
def octets(message):
    with mail_storage().open(message.content.blob) as file:
        return (bytes(message.prefix) + file.read()).decode()
rows = DkimKey.objects.filter(domain__name="{DOMAIN}")
names = [f"{{row.selector}}._domainkey.{DOMAIN}" for row in rows]
records = [f"v=DKIM1; k={{row.algorithm}}; p={{row.public_key}}" for row in rows]
print(json.dumps({{"messages": [octets(message) for message in waiting], "zone": dict(zip(names, records))}}))
"""


class Bench:
    """Both sides, and how many messages each of them has been sent."""

    def __init__(self, ours: Ours, peer: Peer, messages_a_session: int) -> None:
        self._sides, self._messages = (ours, peer), messages_a_session
        self.sent = 0

    def compare(self, names: list[str], rounds: int) -> None:
        # Passwords are hashed and friends made before anything is measured.
        self._round(1, friend, messages=1)
        ours, peer = self._sides
        print(f"{'':44}{ours.name:>12}{'with opendkim':>20}{'ours better by':>17}")
        for name in names:
            in_connection, to, unit = MEASURES[name]
            pairs = [self._round(in_connection, to, messages=self._messages) for _ in range(rounds)]
            mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{unit:44}{mine:12.1f}{theirs:20.1f}{ratio:16.2f}x", flush=True)

    def _round(self, in_connection: int, to: Callable[[int], str], *, messages: int) -> list[float]:
        """Messages a second that each side accepted."""
        self.sent += messages * SESSIONS
        found = []
        for side in self._sides:
            start = time.perf_counter()
            with ThreadPoolExecutor(SESSIONS) as pool:
                submit = partial(_submit, side, messages, in_connection, to)
                list(pool.map(submit, range(SESSIONS)))
            found.append(messages * SESSIONS / (time.perf_counter() - start))
            self._await_tried(side)
        return found

    def _await_tried(self, side: Side) -> None:
        """Nobody's queue works while the other side is measured."""
        if isinstance(side, Ours):
            side.suite.manage("shell", "-v0", "-c", AWAIT_TRIED)
            return
        deadline = time.monotonic() + WAIT_SECONDS
        while len(_deferred(side)) < self.sent:
            if time.monotonic() > deadline:
                raise SystemExit(f"the queue is not through: {len(_deferred(side))} of {self.sent} are deferred")
            time.sleep(0.1)


def _submit(side: Side, messages: int, in_connection: int, to: Callable[[int], str], session: int) -> None:
    sender, port = f"u{session}@{DOMAIN}", side.ports["submissions"]
    for start in range(0, messages, in_connection):
        with submissions(port, sender, PASSWORD) as client:
            for _ in range(min(in_connection, messages - start)):
                recipient = to(session)
                client.sendmail(sender, [recipient], _message(sender, recipient))


def _message(sender: str, recipient: str) -> bytes:
    header = HEADER.format(sender=sender, recipient=recipient, n=next(numbers)).encode()
    return header + LINE * ((OCTETS - len(header)) // len(LINE))


def _queued_by_ours(ours: Ours) -> tuple[list[bytes], dict[str, bytes]]:
    """The messages, and the records of the keys."""
    found = json.loads(ours.suite.manage("shell", "-v0", "-c", READ_QUEUE))
    zone = {name: record.encode() for name, record in found["zone"].items()}
    return [message.encode() for message in found["messages"]], zone


def _queued_by_peer(peer: Peer) -> list[bytes]:
    return [_postcat(peer, file) for file in _deferred(peer)]


def _deferred(peer: Peer) -> list[Path]:
    return [file for file in (peer.folder / "queue/deferred").rglob("*") if file.is_file()]


def _postcat(peer: Peer, file: Path) -> bytes:
    command = ["postcat", "-c", peer.folder / "postfix", "-bh", file]
    return subprocess.run(command, capture_output=True, check=True).stdout.replace(b"\n", b"\r\n")


def _expect_signed(name: str, messages: list[bytes], zone: dict[str, bytes], sent: int) -> None:
    """Nobody is measured who did not do the work."""
    if len(messages) != sent:
        raise SystemExit(f"{name} has {len(messages)} messages in its queue; it accepted {sent}")
    for message in messages:
        header = b"\r\n" + message.partition(b"\r\n\r\n")[0]
        if header.count(b"\r\nDKIM-Signature:") != 1 or b"a=rsa-sha256" not in header:
            raise SystemExit(f"{name} did not sign this once by RSA:\n{message[:2000].decode()}")
    for message in (messages[0], messages[-1]):
        if not opendkim_verifies(OPENDKIM, message, zone):
            raise SystemExit(f"this signature of {name} is no good:\n{message[:2000].decode()}")
    print(f"{name}: all {sent} messages are in the queue, signed")


if __name__ == "__main__":
    main()
