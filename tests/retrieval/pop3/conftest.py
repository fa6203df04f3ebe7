import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mailsuite.mail.message import parse_message
from mailsuite.mail.structure import encode_parts
from retrieval.mail_values import (
    LeasedMaildrop,
    LoginAnswer,
    MaildropEntry,
    MessageRow,
    Principal,
    Refused,
    StoreUnavailable,
)
from retrieval.pop3.context import Pop3Limits
from retrieval.pop3.session import Pop3Session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = b"Subject: one\r\n\r\nfirst line\r\n.dot\r\n..two dots\r\nlast\r\n"
SECOND = b"Subject: two\r\n\r\nno line end"


class MemoryStore:
    """One mailbox in memory, as much of MailStore as POP3 wants. `broken` makes every call fail,
    `answer_is_lost` that for the lock after it was taken."""

    principal = Principal(1, 1, "ann@example.org", 0)

    def __init__(self, *messages: bytes) -> None:
        self.messages = dict(enumerate(messages, start=11))
        self.departed: dict[int, bytes] = {}
        self.uid_next = 100
        self.lease: str | None = None
        self.broken = self.answer_is_lost = False
        self.fetched: list[int] = []

    def expunge(self, uid: int) -> None:
        """As an IMAP session would while POP3 holds the lease."""
        self.departed[uid] = self.messages.pop(uid)

    async def maildrop_entries(self, leased):
        for uid in [uid for uid in self.messages if uid < leased.uid_next]:
            self._check()
            yield [MaildropEntry(uid, len(self.messages[uid]), uid)]

    async def maildrop_row(self, folder_id, uid, fields):
        self._check()
        return self._row(uid) if uid in self.messages | self.departed else None

    async def octets(self, row, start, end):
        self._check()
        return (self.messages | self.departed)[row.uid][start:end]

    async def mark_fetched(self, rows, client):
        self.fetched += [row.uid for row in rows]

    async def lease_maildrop(self, token):
        self._check()
        if self.lease not in (None, token):
            raise Refused("locked", "another session")
        self.lease = token
        if self.answer_is_lost:
            raise StoreUnavailable("killed")
        return LeasedMaildrop(7, self.uid_next, len(self.messages))

    async def release_maildrop(self, token):
        if self.lease == token:
            self.lease = None

    async def quit_maildrop(self, folder_id, token, uids):
        self._check()
        if self.lease != token:
            raise Refused("lease-lost", "too late")
        for uid in uids:
            self.messages.pop(uid, None)
        self.lease = None

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("broken")

    def _row(self, uid: int) -> MessageRow:
        octets = (self.messages | self.departed)[uid]
        parts = encode_parts(parse_message(octets).parts)
        return MessageRow(uid, uid, uid, uid, 1, NOW, NOW, len(octets), 0, True, parts=parts)


class OnePassword:
    """A directory with one mailbox, `ann@example.org`, whose password is `secret`."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.reason = "wrong"

    async def login(self, name, password, *, protocol, client_address):
        if (name, password) == ("ann@example.org", "secret"):
            return LoginAnswer(self.store.principal), self.store
        return LoginAnswer(None, self.reason), None


class Client:
    """Talks to a session in the words of the RFC's examples."""

    def __init__(self, session: Pop3Session) -> None:
        self.session = session
        self.output = session.greeting()

    def __call__(self, *lines: str) -> None:
        """`C:` is sent as it stands, `S:` must be what comes next; a server line ending in … may go on."""
        for line in lines:
            who, text = line[:2], line[3:]
            if who == "C:":
                self.send(text.encode() + b"\r\n")
            else:
                self._expect(text)

    def send(self, octets: bytes) -> None:
        self.session.receive_data(octets)
        asyncio.run(self._run())

    def _expect(self, text: str) -> None:
        line, found, self.output = self.output.partition(b"\r\n")
        assert found, f"{text!r} did not come"
        said = line.decode()
        assert said.startswith(text[:-1]) if text.endswith("…") else said == text, f"{said!r} is not {text!r}"

    async def _run(self) -> None:
        async for chunk in self.session.run_ready():
            self.output += chunk


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FIRST, SECOND)


@pytest.fixture
def directory(store) -> OnePassword:
    return OnePassword(store)


@pytest.fixture
def connect(directory) -> Callable[..., Client]:
    def connect(tls_active: bool = True, starttls_available: bool = True, limits: Pop3Limits | None = None) -> Client:
        session = Pop3Session(
            limits or Pop3Limits(),
            "mail.example.org",
            tls_active=tls_active,
            starttls_available=starttls_available,
            directory=directory,
            client_address="192.0.2.1",
        )
        client = Client(session)
        client("S: +OK mail.example.org POP3 ready")
        return client

    return connect


@pytest.fixture
def dialog(connect) -> Client:
    return connect()


@pytest.fixture
def opened(dialog) -> Client:
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: +OK maildrop has 2 messages…")
    return dialog
