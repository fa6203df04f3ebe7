"""One SMTP session without its socket (RFC 5321 §4): octets in, events out, octets to send.

    dialog.receive_data(octets)
    while event := dialog.next_event():      # only what needs the directory, the disk or the network
        dialog.answer(reply)                 # moves the state on; later commands wait until then, so that
    send(dialog.data_to_send())              # pipelining stays in order (RFC 2920) and its replies go out together

What holds across the package: no rule lives here or in server.py, which moves octets; whether a client may do a thing
is for the stages of mailsuite.pipeline, to whose doors the events are brought. Everything a client sent is judged here
once and leaves as plain values.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

from mailsuite.mail import reply as replies
from mailsuite.mail.address import AddressError
from mailsuite.mail.foreign import foreign_protocol
from mailsuite.mail.reply import Reply
from mailsuite.protocol.lines import Flaw, LineBuffer
from mailsuite.protocol.sasl import EXCHANGES, Credentials, Exchange, SaslError, decode_response
from smtpd_service.inbound.commands import ALWAYS, FORBIDDEN, KNOWN, LEGAL, NOT_OFFERED, WHY, State
from smtpd_service.inbound.limits import SmtpLimits
from smtpd_service.inbound.parameters import (
    Mail,
    ParameterError,
    Rcpt,
    read_mail,
    read_rcpt,
)

# HELO's argument on the MX: a domain or an address literal, as loosely as real hosts write them.
_HELLO_NAME = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}")
_OFFENCES = {
    replies.TOO_MANY_ERRORS: "too-many-errors",
    replies.BARE_LINE_ENDING: "too-many-errors",
    replies.NOT_SMTP: "foreign-protocol",
}
_VERB = re.compile(rb"[A-Za-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a listener offers. `starttls` means that it can be had, `submission` that AUTH is demanded."""

    hostname: str
    size_limit: int
    submission: bool = False
    starttls: bool = True
    limits: SmtpLimits = SmtpLimits()


@dataclass(frozen=True, slots=True)
class TlsAsked:
    """STARTTLS. After 220 everything that was received is forgotten, and `tls_started` begins anew."""


@dataclass(frozen=True, slots=True)
class DataAsked:
    """DATA. After 354 the content is read beside the dialog, from `take_rest` on; `message_answered` ends it."""


Event = Mail | Rcpt | Credentials | TlsAsked | DataAsked


class Dialog:
    """One connection. `hello` is what the client called itself, `authenticated` whether it has logged in, `offence` for
    what it was ended that counts against it (mailsuite.access.offences): failed logins do so by themselves."""

    def __init__(self, terms: Terms, *, tls: bool = False) -> None:
        self.terms = terms
        self._limits = terms.limits
        self.tls = tls
        self.state = State.CONNECTED
        self.hello = ""
        self.extended = False
        self.authenticated = False
        self._lines = LineBuffer()
        self._out: list[bytes] = []
        self._pending: Event | None = None
        self._sasl: Exchange | None = None
        self._errors = self._refusals = self._failed_logins = 0
        self._has_heard = False
        self._recipients = self._refused_recipients = self._too_many_recipients = 0
        self.offence = ""
        self._idle_commands = 0
        self._smtputf8 = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is read: send what is left, then close."""
        return self.state is State.CLOSED

    def greet(self) -> None:
        """Put the greeting (RFC 5321 §4.3.1) in front of everything else."""
        self._out.append(f"220 {self.terms.hostname} ESMTP\r\n".encode())

    def receive_data(self, octets: bytes) -> None:
        """Take what the client sent."""
        first, self._has_heard = not self._has_heard, True
        if first and foreign_protocol(octets):
            self.end(replies.NOT_SMTP)
        elif self.state is not State.CLOSED:
            self._lines.feed(octets)

    def data_to_send(self) -> bytes:
        """Return the replies that have gathered, and forget them."""
        if not self._out:
            return b""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def next_event(self) -> Event | None:
        """Return the next thing that must be answered from outside, or None when more octets are needed."""
        while self._pending is None and self.state not in (State.CLOSED, State.CONTENT):
            line = self._take_line()
            if line is None:
                return None
            self._pending = self._continue_sasl(line) if self.state is State.SASL else self._command(line)
        return self._pending

    def answer(self, reply: Reply) -> None:
        """Reply to the event that `next_event` returned, and move on as the reply says."""
        event, self._pending = self._pending, None
        if isinstance(event, Rcpt) and reply.code == 452 and reply.detail == replies.TOO_MANY_RECIPIENTS.detail:
            self._refuse_one_more(reply)
            return
        if isinstance(event, Credentials) and not reply.is_positive:
            self._failed_logins += 1
        self._say(reply)
        if self._failed_logins >= self._limits.failed_logins and self.state is not State.CLOSED:
            self.end(replies.TOO_MANY_LOGINS)
        if self.state is State.CLOSED:
            return
        match event:
            case Mail() if reply.is_positive:
                self.state, self._smtputf8 = State.MAIL, event.envelope.smtputf8
                self._recipients = self._refused_recipients = self._too_many_recipients = 0
            case Rcpt() if reply.is_positive:
                self.state = State.RCPT
                self._recipients += 1
            case Rcpt():
                self._refused_recipients += 1
            case DataAsked():
                self.state = State.CONTENT if reply.is_positive else State.READY
            case TlsAsked() if reply.is_positive:
                # What came with STARTTLS came in clear text, from anybody (RFC 3207 §4.2)
                self._lines.clear()
            case Credentials():
                self.authenticated = reply.is_positive

    def tls_started(self) -> None:
        """The handshake is done: nothing said before it counts (RFC 3207 §4.2)."""
        self._lines.clear()
        self.tls = True
        self.state, self.hello, self.extended, self.authenticated = State.CONNECTED, "", False, False

    def take_rest(self) -> bytes:
        """Return what was received after DATA: the content's beginning, where a client did not wait for 354."""
        return self._lines.take_all()

    def message_answered(self, reply: Reply, rest: bytes) -> None:
        """Reply to the message; `rest` is what came after its end."""
        self.state, self._idle_commands = State.READY, 0
        self._say(reply)
        self.receive_data(rest)

    def end(self, reply: Reply) -> None:
        """Say the last word (421) and close."""
        self._pending, self.offence = None, _OFFENCES.get(reply, "")
        self._put(reply)
        self.state = State.CLOSED

    def _take_line(self) -> bytes | None:
        """Return the next line that may be acted upon; the others are answered here."""
        limits = self._limits
        while True:
            limit = limits.sasl_line_octets if self.state is State.SASL else limits.line_octets
            line = self._lines.take_strict_line(limit)
            if line is None or isinstance(line, bytes):
                return line
            if self.state is State.SASL:
                self.state, self._sasl = State.READY, None
            if line is Flaw.BARE_LF:
                # What follows can't be told from what somebody smuggled: there is no going on.
                self.end(replies.BARE_LINE_ENDING)
            else:
                self._error(replies.LINE_TOO_LONG if line is Flaw.TOO_LONG else replies.BARE_LINE_ENDING)
            if self.closed:
                return None

    def _command(self, line: bytes) -> Event | None:
        verb_octets, _, argument_octets = line.partition(b" ")
        if not _VERB.fullmatch(verb_octets):
            self._error(replies.UNKNOWN_COMMAND)
            return None
        verb = verb_octets.decode("ascii").upper()
        if verb not in LEGAL[self.state]:
            self._refuse_verb(verb)
            return None
        if verb in ALWAYS:
            self._idle_commands += 1
            if self._idle_commands > self._limits.idle_commands:
                self.end(replies.TOO_MANY_ERRORS)
                return None
        try:
            argument = argument_octets.decode("utf-8").rstrip(" \t")
        except UnicodeDecodeError:
            self._error(replies.SYNTAX_ERROR.with_text("The argument is not UTF-8"))
            return None
        return _HANDLERS[verb](self, argument)

    def _refuse_verb(self, verb: str) -> None:
        if verb in FORBIDDEN:
            self.end(replies.NOT_SMTP)
        elif verb in NOT_OFFERED:
            self._error(replies.NOT_IMPLEMENTED)
        elif verb not in KNOWN:
            self._error(replies.UNKNOWN_COMMAND)
        elif self.state is State.MAIL and verb == "DATA" and self._refused_recipients:
            self._say(replies.NO_VALID_RECIPIENTS)
        else:
            self._say(WHY.get((self.state, verb), replies.BAD_SEQUENCE))

    def _hello(self, name: str, *, extended: bool) -> bool:
        """Take EHLO's or HELO's argument. MUAs call themselves anything, hosts are held to a host's characters."""
        if not name or (not self.terms.submission and not _HELLO_NAME.fullmatch(name)) or not name.isprintable():
            self._error(replies.BAD_HELLO)
            return False
        self.hello, self.extended = name[:255], extended
        self.state = State.READY
        return True

    def _on_ehlo(self, argument: str) -> None:
        if self._hello(argument, extended=True):
            lines = [self.terms.hostname, *self._keywords()]
            last = len(lines) - 1
            self._out.append(
                "".join(f"250{' ' if at == last else '-'}{line}\r\n" for at, line in enumerate(lines)).encode()
            )

    def _keywords(self) -> list[str]:
        keywords = ["PIPELINING", f"SIZE {self.terms.size_limit}", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"]
        if self.terms.starttls and not self.tls:
            keywords.append("STARTTLS")
        if self.terms.submission and self.tls:
            keywords.append("AUTH PLAIN LOGIN")
        return [*keywords, "HELP"]

    def _on_helo(self, argument: str) -> None:
        if self._hello(argument, extended=False):
            self._out.append(f"250 {self.terms.hostname}\r\n".encode())

    def _on_mail(self, argument: str) -> Event | None:
        if refusal := self._needs_login():
            self._say(refusal)
            return None
        if argument[:5].upper() != "FROM:":
            self._error(replies.SYNTAX_ERROR.with_text("Say MAIL FROM:<address>"))
            return None
        try:
            return read_mail(argument[5:], size_limit=self.terms.size_limit)
        except ParameterError as error:
            self._error(error.reply)
        except AddressError as error:
            self._error(replies.BAD_SENDER_ADDRESS.with_text(str(error)))
        return None

    def _on_rcpt(self, argument: str) -> Event | None:
        if argument[:3].upper() != "TO:":
            self._error(replies.SYNTAX_ERROR.with_text("Say RCPT TO:<address>"))
            return None
        if self._recipients >= self._limits.recipients:
            self._refuse_one_more(replies.TOO_MANY_RECIPIENTS)
            return None
        try:
            return read_rcpt(argument[3:], smtputf8=self._smtputf8)
        except ParameterError as error:
            self._error(error.reply)
        except AddressError as error:
            self._error(replies.BAD_RECIPIENT_ADDRESS.with_text(str(error)))
        self._refused_recipients += 1
        return None

    def _refuse_one_more(self, reply: Reply) -> None:
        """Say that the rest goes into another message. This is no offence: a client may have sent twice as many before
        it reads the first answer; then it should have seen it."""
        self._too_many_recipients += 1
        self._refused_recipients += 1
        if self._too_many_recipients > self._limits.recipients:
            self.end(replies.TOO_MANY_ERRORS)
        else:
            self._put(reply)

    def _on_data(self, argument: str) -> Event | None:
        if argument:
            self._error(replies.SYNTAX_ERROR.with_text("DATA takes no argument"))
            return None
        return DataAsked()

    def _on_starttls(self, argument: str) -> Event | None:
        if argument:
            self._error(replies.SYNTAX_ERROR.with_text("STARTTLS takes no argument"))
        elif self.tls:
            self._say(replies.ALREADY_TLS)
        elif not self.terms.starttls:
            self._error(replies.NOT_IMPLEMENTED)
        else:
            return TlsAsked()
        return None

    def _on_auth(self, argument: str) -> Event | None:
        if not self.terms.submission:
            self._error(replies.NOT_IMPLEMENTED)
        elif not self.tls:
            self._error(replies.AUTH_NEEDS_TLS)
        elif self.authenticated:
            self._say(replies.ALREADY_AUTHENTICATED)
        else:
            mechanism, _, initial = argument.partition(" ")
            begin = EXCHANGES.get(mechanism.upper())
            if begin is None:
                self._error(replies.MECHANISM_UNKNOWN)
                return None
            self.state, self._sasl = State.SASL, begin()
            # "=" is an initial response of no octets (RFC 4954 §4)
            initial = initial.strip(" ")
            return self._continue_sasl(initial.encode() if initial else None)
        return None

    def _continue_sasl(self, line: bytes | None) -> Event | None:
        """Take the client's response, or None where it sent none with AUTH."""
        assert self._sasl is not None
        try:
            if line is not None and line.strip(b" \t") == b"*":
                self._fail_sasl(replies.AUTH_CANCELLED)
                return None
            step = self._sasl.step(None if line is None else decode_response(line))
        except SaslError:
            self._fail_sasl(replies.AUTH_MALFORMED)
            return None
        if isinstance(step, bytes):
            self._out.append(b"334 " + b64encode(step) + b"\r\n")
            return None
        if step.acts_as_other:
            self._fail_sasl(replies.AUTH_FAILED)
            return None
        self.state, self._sasl = State.READY, None
        return step

    def _fail_sasl(self, reply: Reply) -> None:
        self._error(reply)
        if self.state is State.SASL:
            self.state, self._sasl = State.READY, None

    def _on_rset(self, argument: str) -> None:
        if self.state is not State.CONNECTED:
            self.state = State.READY
        self._put(replies.OK)

    def _on_noop(self, argument: str) -> None:
        self._put(replies.OK)

    def _on_vrfy(self, argument: str) -> None:
        if not argument:
            self._error(replies.SYNTAX_ERROR.with_text("Say VRFY address"))
        elif refusal := self._needs_login():
            self._say(refusal)
        else:
            self._put(replies.CANNOT_VERIFY)

    def _on_help(self, argument: str) -> None:
        self._put(Reply(214, "0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY STARTTLS AUTH HELP QUIT, see RFC 5321"))

    def _on_quit(self, argument: str) -> None:
        self._put(replies.CLOSING)
        self.state = State.CLOSED

    def _needs_login(self) -> Reply | None:
        if not self.terms.submission or self.authenticated:
            return None
        return replies.AUTH_REQUIRED if self.tls else replies.MUST_START_TLS

    def _put(self, reply: Reply) -> None:
        self._out.append(f"{reply}\r\n".encode())

    def _error(self, reply: Reply) -> None:
        """The client broke a rule; one that goes on doing so is not worth the time."""
        self._errors += 1
        self._put(reply)
        if self._errors >= self._limits.errors:
            self.end(replies.TOO_MANY_ERRORS)

    def _say(self, reply: Reply) -> None:
        if reply.code == 421:
            self.end(reply)
            return
        self._put(reply)
        if not reply.is_positive:
            self._refusals += 1
            if self._refusals >= self._limits.refusals or self._errors >= self._limits.errors:
                self.end(replies.TOO_MANY_ERRORS)


_HANDLERS: dict[str, Callable[[Dialog, str], Event | None]] = {
    verb: getattr(Dialog, f"_on_{verb.lower()}") for verb in KNOWN
}
