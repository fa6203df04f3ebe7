"""What the commands of one POP3 session share: its state, its limits, what it says, and what only the store can do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from mailsuite.protocol.sasl import PlainExchange
from retrieval.pop3.maildrop import Maildrop

LEAST_OCTETS = 64  # that an answer counts for: others have their turn after some hundred short ones, too


class RuleBroken(Exception):
    """The client broke the grammar or a rule; the text is what it is told."""


class NoSuchMessage(Exception):
    """The client named a message that isn't there, which breaks no rule."""


class State(Enum):
    """RFC 1939 §3."""

    AUTHORIZATION = auto()
    TRANSACTION = auto()
    UPDATE = auto()


@dataclass(frozen=True, slots=True)
class Pop3Limits:
    """`line_octets` is more than RFC 2449 §4's 255: names and passwords in base64 are long. Errors are broken rules,
    not messages that are gone."""

    line_octets: int = 2048
    errors: int = 20
    failed_logins: int = 3
    unsent_octets: int = 64 * 1024
    login_seconds: float = 120.0
    idle_seconds: float = 600.0  # RFC 1939 §3 wants ten minutes at least


@dataclass(frozen=True, slots=True)
class LoginRequested:
    """Answered by `login_done` or `login_failed`."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class MessageRequested:
    """RETR, or TOP when `lines` is a number. Answered by `message_sent` or, before anything was sent, `refused`."""

    uid: int
    unique_id: int
    size_octets: int
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class UpdateRequested:
    """QUIT: remove these and unlock the maildrop. Answered by `updated` or, when any may be left, `update_failed`."""

    uids: list[int]


Event = LoginRequested | MessageRequested | UpdateRequested


class Replies:
    """What is to be said; `octets` count at least LEAST_OCTETS for each answer."""

    __slots__ = ("_lines", "octets")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.octets = 0

    def say(self, line: str) -> None:
        """Add a line, or several with CRLF between them."""
        self._lines.append(f"{line}\r\n".encode())
        self.octets += max(len(line) + 2, LEAST_OCTETS)

    def say_lines(self, text: str, lines: Iterable[str]) -> None:
        """Add a multi-line answer (RFC 1939 §3); none of the lines begins with a dot."""
        self.say("\r\n".join([f"+OK {text}", *lines, "."]))

    def take(self) -> bytes:
        """Return what was said since the last time."""
        octets = b"".join(self._lines)
        self._lines.clear()
        self.octets = 0
        return octets


@dataclass(slots=True)
class Context:
    """The state of one session. `name` is USER's until PASS, `exchange` an AUTH that waits for its response, `listing`
    the lines of a LIST or UIDL that are still to be said."""

    hostname: str
    tls_active: bool
    starttls_available: bool
    state: State = State.AUTHORIZATION
    maildrop: Maildrop = field(default_factory=lambda: Maildrop(0))
    name: str | None = None
    exchange: PlainExchange | None = None
    listing: Iterator[str] | None = None
    wants_starttls: bool = False
    closed: bool = False
    replies: Replies = field(default_factory=Replies)

    def sign_off(self) -> None:
        """Say goodbye (RFC 1939 §4 and §6) and close."""
        self.replies.say(f"+OK {self.hostname} POP3 signing off")
        self.closed = True
