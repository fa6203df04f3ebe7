"""IMAP dialogs as RFC 3501 writes them, against a mailbox in memory."""

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from memory_mail_store import MemoryDirectory, MemoryMailbox

from retrieval.imap import view_cache
from retrieval.imap.context import ImapLimits
from retrieval.imap.session import ImapSession

MESSAGE = b"From: Bob <bob@example.org>\r\nTo: ann@example.org\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"


class Client:
    """One session and what it has said, `longest` at once. `dialog` plays lines that begin with `C: ` or `S: `.

    An S line may hold `*` for what does not matter. A C line is sent with CRLF; `C- ` sends its text without one.
    """

    def __init__(self, runner: asyncio.Runner, session: ImapSession) -> None:
        self._runner, self.session = runner, session
        self.said = session.greeting()
        self.longest = 0

    def send(self, octets: bytes) -> None:
        """Let the session read the octets and answer what it can."""
        self.session.receive_data(octets)
        self._collect(self.session.run_ready())

    def notify(self) -> None:
        self._collect(self.session.notify())

    def run(self, coroutine: "asyncio.Coroutine[None, None, object]") -> object:
        return self._runner.run(coroutine)

    def take(self) -> bytes:
        """Return everything said since the last look."""
        said, self.said = self.said, b""
        return said

    def line(self) -> str:
        line, end, self.said = self.said.partition(b"\r\n")
        assert end, f"the server said nothing more than {line!r}"
        return line.decode("latin-1")

    def dialog(self, *lines: str) -> None:
        for line in lines:
            side, text = line[:3], line[3:]
            if side == "C: ":
                assert not self.said, f"still unread: {self.said!r}"
                self.send(text.encode("latin-1") + b"\r\n")
            elif side == "C- ":
                assert not self.said, f"still unread: {self.said!r}"
                self.send(text.encode("latin-1"))
            else:
                assert side == "S: ", line
                said = self.line()
                assert fnmatch.fnmatchcase(said, _pattern(text)), f"expected {text!r}, the server said {said!r}"
        assert not self.said, f"still unread: {self.said!r}"

    def command(self, text: str) -> list[str]:
        """Send a command without tag; return the answer's lines, the last without its tag."""
        assert not self.said, f"still unread: {self.said!r}"
        self.send(f"t {text}\r\n".encode("latin-1"))
        lines = self.take().decode("latin-1").removesuffix("\r\n").split("\r\n")
        assert lines[-1].startswith("t "), lines
        return [*lines[:-1], lines[-1].removeprefix("t ")]

    def log_in(self) -> "Client":
        self.take()
        self.send(b"a LOGIN ann@example.org secret\r\n")
        assert self.take().startswith(b"a OK ")
        return self

    def select(self, name: str = "INBOX") -> "Client":
        assert self.command(f"SELECT {name}")[-1].startswith("OK [READ-WRITE]")
        return self

    def _collect(self, octets: AsyncIterator[bytes]) -> None:
        async def collect() -> None:
            async for piece in octets:
                assert piece, "an empty piece is nothing to send"
                self.said += piece
                self.longest = max(self.longest, len(piece))

        self._runner.run(collect())


def _pattern(text: str) -> str:
    """Only `*` behind the first character is a wildcard: an untagged response begins with one of its own."""
    return text[:1].replace("*", "[*]") + text[1:].replace("[", "[[]")


@pytest.fixture
def mailbox() -> MemoryMailbox:
    return MemoryMailbox()


@pytest.fixture
def directory(mailbox: MemoryMailbox) -> MemoryDirectory:
    return MemoryDirectory(mailbox)


@pytest.fixture
def connect(directory: MemoryDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """`connect(tls=True, starttls=True, **limits)` is a new client before its greeting is read."""
    monkeypatch.setattr(view_cache, "LEAST_MESSAGES", 1)  # so that every test opens folders from kept views, too
    views = view_cache.ViewCache()
    with asyncio.Runner() as runner:

        def make(*, tls: bool = True, starttls: bool = True, **limits: int) -> Client:
            session = ImapSession(
                ImapLimits(**limits),
                "mail.example.org",
                tls,
                starttls,
                directory,
                "192.0.2.1",
                session_id="s1",
                version="1.0",
                views=views,
            )
            return Client(runner, session)

        yield make


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    """A client that has logged in."""
    return connect().log_in()


@pytest.fixture
def dialog(client: Client) -> Callable[..., None]:
    return client.dialog
