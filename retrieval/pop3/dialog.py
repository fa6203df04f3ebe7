"""One POP3 session without sockets: octets in, events out, octets to send (RFC 1939, 2449, 2595, 3206, 5034).

The caller feeds what arrives, asks for events until there is none, does what only the store can do and answers each
event by the method that its class names. Invariants: one event is open at a time, and commands behind it wait, so that
pipelined answers come in order (RFC 2449 §6.8); a name or password is taken only under TLS; nothing is removed before
QUIT's event is answered.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice

from mailsuite.protocol.credential_text import credential_text
from mailsuite.protocol.lines import LineBuffer, LineTooLong
from mailsuite.protocol.sasl import MAX_RESPONSE_OCTETS, Credentials, PlainExchange, SaslError, decode_response
from mailsuite.protocol.words import SERVICE_UNAVAILABLE
from retrieval.pop3.maildrop import Maildrop, unique_id_text


class RuleBroken(Exception):
    """The client broke the grammar or a rule; the text is what it is told."""


class NoSuchMessage(Exception):
    """The client named a message that isn't there, which breaks no rule."""


class State(Enum):
    AUTHORIZATION = auto()
    TRANSACTION = auto()
    UPDATE = auto()


LEGAL: dict[State, frozenset[str]] = {
    State.AUTHORIZATION: frozenset({"CAPA", "USER", "PASS", "AUTH", "STLS", "QUIT"}),
    State.TRANSACTION: frozenset(
        {"CAPA", "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL", "QUIT"},
    ),
    State.UPDATE: frozenset(),
}
KNOWN = frozenset().union(*LEGAL.values())
NOT_UNDER_CLEAR_TEXT = frozenset({"USER", "PASS", "AUTH"})
# Lines of a listing that are made in one go, some milliseconds' worth.
LINES_AT_ONCE = 1_000
LEAST_OCTETS = 64  # that an answer counts for: others have their turn after some hundred short ones, too


@dataclass(frozen=True, slots=True)
class Pop3Limits:
    """`line_octets` is more than RFC 2449 §4's 255: names and passwords in base64 are long. Errors are broken rules,
    not messages that are gone."""

    line_octets: int = 2048
    errors: int = 20
    failed_logins: int = 3
    unsent_octets: int = 64 * 1024


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

# fetchmail knows no [SYS/TEMP] and no [SYS/PERM]: it looks for English words, and tells its user that the password is
# probably invalid where it finds neither "service … unavailable" nor "wait".
LOGIN_FAILURES = {
    "wrong": "[AUTH] wrong mailbox or password",
    "throttled": "[LOGIN-DELAY] too many failed logins; wait some minutes and try again",
    "suspended": "[SYS/PERM] service unavailable: this mailbox is suspended; ask its administrator",
    "locked": "[IN-USE] another session has this maildrop open; wait and try again",
    "limit": "[SYS/PERM] service unavailable: too many messages in the inbox for POP3; move some elsewhere by IMAP",
    "unavailable": "[SYS/TEMP] service unavailable: logins can't be checked now; wait and try again",
}


class Dialog:
    """What the session says and wants; `state`, `closed` and `wants_starttls` tell where it is, `broke_rules` whether
    it was ended for the errors of a client that had not logged in."""

    def __init__(self, hostname: str, limits: Pop3Limits, *, tls_active: bool, starttls_available: bool) -> None:
        self.state = State.AUTHORIZATION
        self.closed = False
        self.wants_starttls = False
        self.broke_rules = False
        self.maildrop = Maildrop(0)
        self._hostname, self._limits = hostname, limits
        self._tls_active, self._starttls_available = tls_active, starttls_available
        self._buffer = LineBuffer()
        self._out: list[bytes] = []
        self._unsent = 0
        self._waiting = self._at_end_of_stream = False
        self._name: str | None = None
        self._exchange: PlainExchange | None = None
        self._listing: Iterator[str] | None = None
        self._errors = self._failed_logins = 0

    @property
    def held_octets(self) -> int:
        """What has arrived of a line that is not complete."""
        return len(self._buffer)

    def greeting(self) -> bytes:
        return f"+OK {self._hostname} POP3 ready\r\n".encode()

    def receive_data(self, data: bytes) -> None:
        """Takes what arrived; b"" is the end of the stream: without QUIT nothing is removed (RFC 1939 §6)."""
        self._at_end_of_stream = self._at_end_of_stream or not data
        if not self.wants_starttls:
            self._buffer.feed(data)

    def data_to_send(self) -> bytes:
        data, self._out, self._unsent = b"".join(self._out), [], 0
        return data

    def next_event(self) -> Event | None:
        """Return the next thing only the store can do, or None when there is something to send or to wait for.

        While an event is unanswered, a listing unfinished or STARTTLS awaited, later commands wait.
        """
        while not self._pauses():
            if self._listing:
                self._go_on_listing(self._listing)
                continue
            try:
                if (line := self._take_line()) is None:
                    self.closed = self._at_end_of_stream
                    break
                event = self._on_response(line) if self._exchange else self._on_line(line)
            except NoSuchMessage:
                self._say("-ERR no such message")
            except RuleBroken as broken:
                self._count_error(str(broken))
            else:
                self._waiting = event is not None
                if event:
                    return event
        return None

    def tls_started(self) -> None:
        """Forgets what was said in clear text (RFC 2595 §4)."""
        self._buffer.clear()
        self._tls_active, self.wants_starttls, self._name = True, False, None

    def end(self, text: str) -> None:
        """The server ends the session: nothing is removed. A client may take it for the answer to its login."""
        if not self.closed:
            self._say(f"-ERR {'[SYS/TEMP] ' if text.startswith(SERVICE_UNAVAILABLE) else ''}{text}")
            self.closed = True

    def login_done(self, maildrop: Maildrop) -> None:
        self._waiting, self.maildrop, self.state = False, maildrop, State.TRANSACTION
        self._say(f"+OK maildrop has {maildrop.count} messages ({maildrop.size_octets} octets)")

    def login_failed(self, reason: str) -> None:
        """`reason` is one of LOGIN_FAILURES."""
        self._waiting, self._name = False, None
        self._say(f"-ERR {LOGIN_FAILURES.get(reason, LOGIN_FAILURES['unavailable'])}")
        self._failed_logins += 1
        if self._failed_logins >= self._limits.failed_logins:
            self.closed = True

    def message_sent(self) -> None:
        self._waiting = False

    def refused(self, text: str) -> None:
        self._waiting = False
        self._say(f"-ERR {text}")

    def updated(self) -> None:
        self._say(f"+OK {self._hostname} POP3 signing off")
        self._waiting, self.closed = False, True

    def update_failed(self) -> None:
        """Some deleted messages not removed (RFC 1939 §6)."""
        self._say("-ERR [SYS/TEMP] not all deleted messages could be removed; the next session shows which are left")
        self._waiting, self.closed = False, True

    def _pauses(self) -> bool:
        return self.closed or self._waiting or self.wants_starttls or self._unsent >= self._limits.unsent_octets

    def _take_line(self) -> bytes | None:
        limit = MAX_RESPONSE_OCTETS if self._exchange else self._limits.line_octets
        try:
            return self._buffer.take_line(limit)
        except LineTooLong:
            self._exchange = None
            raise RuleBroken(f"the line is longer than {limit} octets") from None

    def _on_line(self, line: bytes) -> Event | None:
        verb, argument = _split(line)
        if verb not in KNOWN:
            raise RuleBroken("unknown command")
        if verb not in LEGAL[self.state]:
            raise RuleBroken(f"{verb} not valid in {self.state.name} state")
        if verb in NOT_UNDER_CLEAR_TEXT and not self._tls_active:
            raise RuleBroken(f"{verb} is possible only under TLS; {self._tls_advice()}")
        handler: Callable[[str], Event | None] = getattr(self, f"_on_{verb.lower()}")
        return handler(argument)

    def _tls_advice(self) -> str:
        return "say STLS first" if self._starttls_available else "use the port for POP3 over TLS"

    # AUTHORIZATION state

    def _on_capa(self, argument: str) -> None:
        lines = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER"]
        if self._tls_active:
            lines += ["USER", "SASL PLAIN"]
        elif self._starttls_available:
            lines.append("STLS")
        self._say_lines("capabilities follow", [*lines, "IMPLEMENTATION Mailsuite"])

    def _on_stls(self, argument: str) -> None:
        if self._tls_active:
            raise RuleBroken("TLS is active already")
        if not self._starttls_available:
            raise RuleBroken("TLS is not available here")
        self._say("+OK begin TLS now")
        # What was pipelined behind it may be an attacker's (RFC 2595 §4, CVE-2011-0411).
        self._buffer.clear()
        self.wants_starttls = True

    def _on_user(self, argument: str) -> None:
        if not argument:
            raise RuleBroken("USER takes the name of a mailbox")
        self._name = argument
        # The same for every name: which mailboxes there are is nobody's business.
        self._say("+OK send PASS")

    def _on_pass(self, argument: str) -> Event:
        """Spaces are part of the password (RFC 1939 §7)."""
        name, self._name = self._name, None
        if name is None:
            raise RuleBroken("say USER first")
        if not argument:
            raise RuleBroken("PASS takes a password")
        return LoginRequested(name, argument)

    def _on_auth(self, argument: str) -> Event | None:
        mechanism, _, initial = argument.partition(" ")
        if not mechanism:
            # Old clients ask so for the mechanisms, from before CAPA.
            self._say_lines("mechanisms follow", ["PLAIN"])
            return None
        if mechanism.upper() != "PLAIN":
            raise RuleBroken("the only SASL mechanism here is PLAIN")
        self._exchange = PlainExchange()
        if initial := initial.strip(" "):
            return self._on_response(initial.encode())
        self._say("+ ")
        return None

    def _on_response(self, line: bytes) -> Event | None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        if line == b"*":
            self._say("-ERR AUTH given up")
            return None
        try:
            credentials = exchange.step(decode_response(line))
        except SaslError as error:
            raise RuleBroken(str(error)) from None
        assert isinstance(credentials, Credentials)
        if credentials.acts_as_other:
            raise RuleBroken("[AUTH] nobody may act as somebody else here")
        return LoginRequested(credentials.authentication_identity, credentials.password)

    # TRANSACTION state

    def _on_stat(self, argument: str) -> None:
        self._say(f"+OK {self.maildrop.count} {self.maildrop.size_octets}")

    def _on_list(self, argument: str) -> None:
        self._scan(argument, self.maildrop.size_of, f"{self.maildrop.count} messages")

    def _on_uidl(self, argument: str) -> None:
        self._scan(argument, lambda number: unique_id_text(self.maildrop.unique_id_of(number)), "unique-ids follow")

    def _on_retr(self, argument: str) -> Event:
        return self._message(self._message_number(argument), None)

    def _on_top(self, argument: str) -> Event:
        first, _, lines = argument.partition(" ")
        if not _is_number(lines := lines.strip(" ")):
            raise RuleBroken("TOP takes a message number and a number of lines")
        return self._message(self._message_number(first), int(lines))

    def _on_dele(self, argument: str) -> None:
        number = self._message_number(argument)
        self.maildrop.delete(number)
        self._say(f"+OK message {number} deleted")

    def _on_noop(self, argument: str) -> None:
        self._say("+OK")

    def _on_rset(self, argument: str) -> None:
        self.maildrop.reset()
        self._say(f"+OK maildrop has {self.maildrop.count} messages ({self.maildrop.size_octets} octets)")

    def _on_quit(self, argument: str) -> Event | None:
        if self.state is State.TRANSACTION:
            self.state = State.UPDATE
            return UpdateRequested(self.maildrop.deleted_uids)
        self.updated()
        return None

    def _message(self, number: int, lines: int | None) -> MessageRequested:
        drop = self.maildrop
        return MessageRequested(drop.uid_of(number), drop.unique_id_of(number), drop.size_of(number), lines)

    def _message_number(self, argument: str) -> int:
        if not _is_number(argument):
            raise RuleBroken("that command takes a message number")
        if not self.maildrop.has(int(argument)):
            raise NoSuchMessage
        return int(argument)

    def _scan(self, argument: str, value: Callable[[int], object], text: str) -> None:
        """LIST and UIDL: one message's value, or all."""
        if argument:
            number = self._message_number(argument)
            self._say(f"+OK {number} {value(number)}")
        else:
            self._say(f"+OK {text}")
            self._listing = (f"{number} {value(number)}" for number in self.maildrop.numbers())

    def _go_on_listing(self, listing: Iterator[str]) -> None:
        """Says some lines more: a maildrop may have a million, and others want their turn meanwhile."""
        if lines := list(islice(listing, LINES_AT_ONCE)):
            self._say("\r\n".join(lines))
        else:
            self._say(".")
            self._listing = None

    def _count_error(self, text: str) -> None:
        self._say(f"-ERR {text}")
        self._errors += 1
        if self._errors >= self._limits.errors:
            self.end("too many errors")
            self.broke_rules = self.state is State.AUTHORIZATION

    def _say(self, line: str) -> None:
        self._out.append(f"{line}\r\n".encode())
        self._unsent += max(len(line) + 2, LEAST_OCTETS)

    def _say_lines(self, text: str, lines: Iterable[str]) -> None:
        self._say("\r\n".join([f"+OK {text}", *lines, "."]))


def _split(line: bytes) -> tuple[str, str]:
    """The verb in upper case and its argument; a password keeps its spaces (RFC 1939 §7)."""
    word, _, octets = line.partition(b" ")
    verb = word.decode("ascii", "replace").upper()
    try:
        argument = credential_text(octets) if verb in ("USER", "PASS") else octets.decode()
    except UnicodeDecodeError:
        raise RuleBroken("the line is not UTF-8") from None
    if "\0" in argument:
        raise RuleBroken("the line holds a NUL")
    return verb, argument if verb == "PASS" else argument.strip(" ")


def _is_number(text: str) -> bool:
    """Of 32 bits or so: some clients ask for TOP with the largest number of lines that they know."""
    return 0 < len(text) <= 10 and text.isascii() and text.isdigit()
