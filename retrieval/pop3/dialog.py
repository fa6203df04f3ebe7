"""One POP3 session without sockets: octets in, events out, octets to send (RFC 1939, 2449, 2595, 3206, 5034).

The caller feeds what arrives, asks for events until there is none, does what only the store can do and answers each
event by the method that its class names. Invariants: one event is open at a time, and commands behind it wait, so that
pipelined answers come in order (RFC 2449 §6.8); a name or password is taken only under TLS; nothing is removed before
QUIT's event is answered. What the commands are is told by retrieval.pop3.commands.
"""

from collections.abc import Iterator
from itertools import islice

from mailsuite.protocol.credential_text import credential_text
from mailsuite.protocol.lines import LineBuffer, LineTooLong
from mailsuite.protocol.sasl import MAX_RESPONSE_OCTETS
from mailsuite.protocol.words import SERVICE_UNAVAILABLE
from retrieval.pop3.commands import COMMANDS, sasl_response
from retrieval.pop3.context import Context, Event, NoSuchMessage, Pop3Limits, RuleBroken, State
from retrieval.pop3.maildrop import Maildrop

# Lines of a listing that are made in one go, some milliseconds' worth.
LINES_AT_ONCE = 1_000

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
        self.broke_rules = False
        self._context = Context(hostname, tls_active, starttls_available)
        self._limits, self._replies = limits, self._context.replies
        self._buffer = LineBuffer()
        self._waiting = self._at_end_of_stream = False
        self._errors = self._failed_logins = 0

    @property
    def state(self) -> State:
        """Where the session is (RFC 1939 §3)."""
        return self._context.state

    @property
    def closed(self) -> bool:
        """Whether the connection is to be closed, once what was said is sent."""
        return self._context.closed

    @property
    def wants_starttls(self) -> bool:
        """Whether the transport is to start TLS, once what was said is sent."""
        return self._context.wants_starttls

    @property
    def maildrop(self) -> Maildrop:
        """The messages as of the login."""
        return self._context.maildrop

    @property
    def held_octets(self) -> int:
        """What has arrived of a line that is not complete."""
        return len(self._buffer)

    def greeting(self) -> bytes:
        """Return the first words (RFC 1939 §4)."""
        return f"+OK {self._context.hostname} POP3 ready\r\n".encode()

    def receive_data(self, data: bytes) -> None:
        """Takes what arrived; b"" is the end of the stream: without QUIT nothing is removed (RFC 1939 §6)."""
        self._at_end_of_stream = self._at_end_of_stream or not data
        if not self.wants_starttls:
            self._buffer.feed(data)

    def data_to_send(self) -> bytes:
        """Return what was said since the last time."""
        return self._replies.take()

    def next_event(self) -> Event | None:
        """Return the next thing only the store can do, or None when there is something to send or to wait for.

        While an event is unanswered, a listing unfinished or STARTTLS awaited, later commands wait.
        """
        context = self._context
        while not self._pauses():
            if context.listing:
                self._go_on_listing(context.listing)
                continue
            try:
                if (line := self._take_line()) is None:
                    context.closed = self._at_end_of_stream
                    break
                event = sasl_response(context, line) if context.exchange else self._on_line(line)
            except NoSuchMessage:
                self._replies.say("-ERR no such message")
            except RuleBroken as broken:
                self._count_error(str(broken))
            else:
                self._waiting = event is not None
                if event:
                    return event
        return None

    def tls_started(self) -> None:
        """Forgets what was said in clear text (RFC 2595 §4): what was pipelined behind STLS may be an attacker's
        (CVE-2011-0411)."""
        self._buffer.clear()
        self._context.tls_active, self._context.wants_starttls, self._context.name = True, False, None

    def end(self, text: str) -> None:
        """The server ends the session: nothing is removed. A client may take it for the answer to its login."""
        if not self.closed:
            self._replies.say(f"-ERR {'[SYS/TEMP] ' if text.startswith(SERVICE_UNAVAILABLE) else ''}{text}")
            self._context.closed = True

    def login_done(self, maildrop: Maildrop) -> None:
        """Goes on in the TRANSACTION state with this maildrop."""
        self._waiting, self._context.maildrop, self._context.state = False, maildrop, State.TRANSACTION
        self._replies.say(f"+OK maildrop has {maildrop.count} messages ({maildrop.size_octets} octets)")

    def login_failed(self, reason: str) -> None:
        """`reason` is one of LOGIN_FAILURES."""
        self._waiting, self._context.name = False, None
        self._replies.say(f"-ERR {LOGIN_FAILURES.get(reason, LOGIN_FAILURES['unavailable'])}")
        self._failed_logins += 1
        if self._failed_logins >= self._limits.failed_logins:
            self._context.closed = True

    def message_sent(self) -> None:
        """Goes on with the next command."""
        self._waiting = False

    def refused(self, text: str) -> None:
        """Says that the message can't be had, and goes on."""
        self._waiting = False
        self._replies.say(f"-ERR {text}")

    def updated(self) -> None:
        """Says goodbye: all that was marked is removed (RFC 1939 §6)."""
        self._waiting = False
        self._context.sign_off()

    def update_failed(self) -> None:
        """Some deleted messages not removed (RFC 1939 §6)."""
        self._replies.say(
            "-ERR [SYS/TEMP] not all deleted messages could be removed; the next session shows which are left"
        )
        self._waiting, self._context.closed = False, True

    def _pauses(self) -> bool:
        context = self._context
        too_much = self._replies.octets >= self._limits.unsent_octets
        return context.closed or self._waiting or context.wants_starttls or too_much

    def _take_line(self) -> bytes | None:
        limit = MAX_RESPONSE_OCTETS if self._context.exchange else self._limits.line_octets
        try:
            return self._buffer.take_line(limit)
        except LineTooLong:
            self._context.exchange = None
            raise RuleBroken(f"the line is longer than {limit} octets") from None

    def _on_line(self, line: bytes) -> Event | None:
        context = self._context
        verb, argument = split_line(line)
        command = COMMANDS.get(verb)
        if command is None:
            raise RuleBroken("unknown command")
        if context.state not in command.states:
            raise RuleBroken(f"{verb} not valid in {context.state.name} state")
        if command.needs_tls and not context.tls_active:
            advice = "say STLS first" if context.starttls_available else "use the port for POP3 over TLS"
            raise RuleBroken(f"{verb} is possible only under TLS; {advice}")
        return command.run(context, argument)

    def _go_on_listing(self, listing: Iterator[str]) -> None:
        """Says some lines more: a maildrop may have a million, and others want their turn meanwhile."""
        if lines := list(islice(listing, LINES_AT_ONCE)):
            self._replies.say("\r\n".join(lines))
        else:
            self._replies.say(".")
            self._context.listing = None

    def _count_error(self, text: str) -> None:
        self._replies.say(f"-ERR {text}")
        self._errors += 1
        if self._errors >= self._limits.errors:
            self.end("too many errors")
            self.broke_rules = self.state is State.AUTHORIZATION


def split_line(line: bytes) -> tuple[str, str]:
    """Return the verb in upper case and its argument; a password keeps its spaces (RFC 1939 §7). Raises RuleBroken."""
    word, _, octets = line.partition(b" ")
    verb = word.decode("ascii", "replace").upper()
    try:
        argument = credential_text(octets) if verb in ("USER", "PASS") else octets.decode()
    except UnicodeDecodeError:
        raise RuleBroken("the line is not UTF-8") from None
    if "\0" in argument:
        raise RuleBroken("the line holds a NUL")
    return verb, argument if verb == "PASS" else argument.strip(" ")
