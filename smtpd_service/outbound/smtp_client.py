"""The client's side of SMTP (RFC 5321), without a socket: octets in, events out, octets to send.

The life of a session: greeting, EHLO (HELO where that is refused), STARTTLS (RFC 3207) and EHLO again, AUTH for a
smarthost, then any number of transactions, QUIT. Commands of a transaction are pipelined where the host offers it
(RFC 2920). Each recipient gets its own Outcome, and everything said goes into the dialog, credentials excepted.

An outcome is permanent only when the host refused this mail for good. What is wrong with us, the connection or the
greeting is temporary: mail must not bounce because of that.

A host that says more than it was asked for (the final dot answered twice, say) gets its replies out of step with our
commands, and one recipient's refusal would be taken for another's. So what comes unasked ends the session; the replies
to an envelope count only once that to DATA shows that they were in step, and where DATA was refused, too, only once
RSET is answered as nothing but RSET is (the refusal of a message's only recipient needs no such proof). In a session
that has served before, where such a late reply is most likely, a refused MAIL is temporary too: over a new connection
it is asked again.
"""

import base64
import re
from collections import deque
from dataclasses import dataclass, replace
from enum import Enum

from mailsuite.protocol.content import DotStuffer
from smtpd_service.outbound.remote_reply import (
    MAX_TEXT,
    ProtocolViolation,
    RemoteReply,
    ReplyReader,
    StrayLine,
)
from smtpd_service.outbound.transaction import (
    BodyWanted,
    Event,
    Fate,
    HandshakeNeeded,
    Login,
    Mail,
    Outcome,
    Ready,
    Sent,
    SessionFailed,
    StartTls,
)

_XTEXT = re.compile(r"[!-*,-<>-~+]{1,500}", re.ASCII)


class State(Enum):
    GREETING = "the greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    HANDSHAKE = "the TLS handshake"
    AUTH = "AUTH"
    READY = "the next message"
    ENVELOPE = "the envelope"
    BODY = "the message"
    FINAL = "the reply to the final dot"
    QUIT = "QUIT"
    CLOSED = "nothing"


# RFC 5321 §4.5.3.2: how long to wait for the host, in seconds.
_TIMEOUTS = {State.STARTTLS: 120.0, State.HANDSHAKE: 60.0, State.BODY: 180.0, State.FINAL: 600.0, State.QUIT: 5.0}
_TIMEOUT = 300.0
# A host that greeted twice has yet to answer EHLO; if nothing comes, the second greeting was the answer.
_TIMEOUT_GREETED_TWICE = 10.0
# Of lines that are no replies, what a dialog tells.
_STRAY_LINES_TOLD = 5

NEEDS_TLS = (
    "The route has a password, which is only sent under TLS, and the host offers none here: choose implicit TLS "
    "and its port (465) in the route if the host has that, or take user name and password out of the route"
)


@dataclass(frozen=True, slots=True)
class DialogLine:
    """`recipient` is the index of the recipient that the line is about, None when it is about all."""

    text: str
    recipient: int | None = None


class SmtpClient:
    """One session. Feed `receive_data`, send `data_to_send`, act on `next_event`; `lost` ends it from outside."""

    def __init__(
        self,
        *,
        helo: str,
        starttls: StartTls,
        tls: str = "",
        login: Login | None = None,
        host: str = "",
        pipelines: bool = True,
    ) -> None:
        """`pipelines` False: one command after the other, whatever the host offers."""
        self.state = State.GREETING
        # How many of the host's replies were answers: what is passed over buys a host no time.
        self.answers = 0
        self.extensions: dict[str, str] = {}
        self.tls = tls
        self._helo, self._starttls, self._login, self._host = helo, starttls, login, host
        self._may_pipeline = pipelines
        self._reader = ReplyReader()
        self._output = bytearray()
        self._events: deque[Event] = deque()
        self._session_dialog: list[DialogLine] = []
        self._dialog: list[DialogLine] = []
        self._mail: Mail | None = None
        self._outcomes: list[Outcome | None] = []
        self._accepted: set[int] = set()
        # What is awaited within a transaction: (command, recipient's index).
        self._expected: deque[tuple[str, int | None]] = deque()
        self._auth_lines: list[bytes] = []
        self._needs_reset = False
        self._probes = False
        self._transactions = 0
        self._stray_lines = 0
        # A greeting that came when EHLO was to be answered.
        self._second_greeting: RemoteReply | None = None
        # The refusal of DATA, while RSET shows whether we are in step.
        self._refusal: Outcome | None = None
        self._stuffer = DotStuffer()

    @property
    def awaited(self) -> str:
        """What the host is to answer next: a state's words, or the command of a transaction."""
        return self._expected[0][0] if self._expected else self.state.value

    def takes_as_it_is(self, mail: Mail) -> bool:
        """Whether the host announced what the message's octets need (RFC 6152, RFC 6531)."""
        needs = {"8BITMIME": mail.envelope.eight_bit, "SMTPUTF8": mail.envelope.smtputf8}
        return all(keyword in self.extensions for keyword, is_needed in needs.items() if is_needed)

    @property
    def size_octets(self) -> int:
        """Of the message under way."""
        return self._mail.size_octets if self._mail else 0

    @property
    def last_outcome(self) -> Outcome:
        """What the last reply means within a transaction that probes."""
        return next((own for own in self._outcomes if own), Outcome(Fate.DELIVERED, "2.0.0", "", "accepted"))

    @property
    def timeout_seconds(self) -> float:
        """How long to wait now for the host's next octets, or for room to send."""
        return _TIMEOUT_GREETED_TWICE if self._second_greeting else _TIMEOUTS.get(self.state, _TIMEOUT)

    @property
    def is_ready(self) -> bool:
        """Whether a transaction can begin, with nothing said that was not asked for."""
        return self.state is State.READY and self._reader.is_between_replies

    @property
    def pipelines(self) -> bool:
        """Whether commands go out before the replies to those before them are there."""
        return self._may_pipeline and "PIPELINING" in self.extensions and not self._probes

    def data_to_send(self) -> bytes:
        data = bytes(self._output)
        self._output.clear()
        return data

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def dialog(self, recipient: int | None = None) -> str:
        """Return what was said, with what concerns one recipient or, by None, all of them."""
        lines = self._session_dialog + self._dialog
        return "\n".join(x.text for x in lines if recipient is None or x.recipient in (None, recipient))

    def note(self, text: str) -> None:
        """Put a remark of ours into the dialog."""
        self._say("*", text)

    def receive_data(self, data: bytes) -> None:
        """Take octets from the host; none at the end of the stream."""
        if self._is_closed:
            return None
        if data and self.state is State.HANDSHAKE:
            return self._refuse_injection()
        self._reader.feed(data)
        try:
            while not self._is_closed and (found := self._reader.next(lenient=self._awaits_one)):
                self._on_stray(found) if isinstance(found, StrayLine) else self._take(found)
            if not data and self._awaits_one and (last := self._reader.at_end()):
                self._take(last)
        except ProtocolViolation as violation:
            self._lose_step("protocol-error", f"The host {violation}")
        return None if data else self.lost("closed the connection")

    def timed_out(self) -> None:
        """The host's time is over."""
        if reply := self._second_greeting:
            self._second_greeting = None
            return self._on_hello(reply)
        if self.state is State.ENVELOPE and self.pipelines:
            # One that is missing, perhaps, so that those that came were not for what they seemed to be.
            return self._lose_step("connection-lost", f"The host gave no reply in time to {self.awaited}")
        return self.lost("gave no reply in time")

    def tls_started(self, description: str) -> None:
        """The handshake is done; what the host said in clear is forgotten (RFC 3207 §4.2)."""
        self.tls, self.extensions = description, {}
        self.note(f"TLS: {description}")
        self._say_hello()

    def lost(self, what: str) -> None:
        """The connection is gone or of no use any more: `what` says how, as in "closed the connection"."""
        if self.state is not State.CLOSED:
            self.give_up("4.4.2", "connection-lost", f"The host {what} while we waited for {self.state.value}")

    def give_up(self, status: str, reason: str, text: str) -> None:
        """End the session for now, for a reason of ours or a fault of the host's: whoever waits is tried later."""
        self._end(_later(status, reason, text))

    def send(self, mail: Mail, *, probes: bool = False) -> None:
        """Begin a transaction; legal after Ready or Sent, while the state is READY.

        One that `probes` asks for sender and recipients one after the other and ends with RSET: no message is sent.
        """
        if self.state is not State.READY:
            raise RuntimeError(f"no transaction can begin while waiting for {self.state.value}")
        self._mail, self._outcomes, self._accepted = mail, [None] * len(mail.recipients), set()
        self._dialog, self._probes, self._refusal = [], probes, None
        self._transactions += 1
        if problem := self._obstacle(mail):
            return self._finish(problem)
        if mail.note:
            self.note(mail.note)
        self.state = State.ENVELOPE
        if self._needs_reset:
            self._command("RSET", "RSET")
        if self.pipelines or not self._needs_reset:
            self._begin(mail)
        self._needs_reset = False
        return None

    def _begin(self, mail: Mail) -> None:
        self._command("MAIL", self._mail_command(mail))
        if self.pipelines:
            for index in range(len(mail.recipients)):
                self._send_recipient(index)
            self._command("DATA", "DATA")

    def send_body(self, chunk: bytes) -> None:
        """Take octets of the message: dots at the beginning of lines are doubled (RFC 5321 §4.5.2)."""
        if self.state is not State.BODY or not chunk:
            return
        self._output += self._stuffer.stuff(chunk)

    def end_body(self) -> None:
        """Send the final dot: from here on the host may have the message."""
        if self.state is not State.BODY:
            return
        self._output += self._stuffer.end()
        self.note(f"{self.size_octets} octets and the final dot")
        self.state = State.FINAL
        self._expected.append(("DOT", None))

    def quit(self) -> None:
        if self.state is State.READY:
            self._output += b"QUIT\r\n"
            self.state = State.QUIT

    # What the host says

    @property
    def _is_closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def _awaits_one(self) -> bool:
        return len(self._expected) <= 1

    def _take(self, reply: RemoteReply) -> None:
        self._say("S", str(reply), self._expected[0][1] if self._expected else None)
        if self._is_passed_over(reply):
            return self.note("passed over: it answers nothing")
        if self._output and self.state is not State.BODY and reply.code != 421:
            # What it would answer is not even sent.
            return self._lose_step("out-of-step", f"The host said what was not asked for: {reply}")
        self.answers += 1
        return self._on_reply(reply)

    def _is_passed_over(self, reply: RemoteReply) -> bool:
        """Whether it is a reply too many that does no harm. A second greeting may yet prove to be EHLO's answer."""
        match self.state:
            case State.EHLO:
                is_greeting = reply.code == 220
                self._second_greeting = (self._second_greeting or reply) if is_greeting else None
                return is_greeting
            case State.READY:
                return self._transactions == 0 and reply.code // 100 == 2
            case State.ENVELOPE:
                # Before DATA is there to be answered, and nothing else that it could be mistaken for.
                is_early = bool(self._output) or self.awaited in ("MAIL", "RCPT")
                return reply.code == 354 and self._awaits_one and is_early and not self._refusal
            case State.BODY | State.FINAL:
                # It had said so before: no final dot is answered by that.
                return reply.code == 354
        return False

    def _on_stray(self, line: StrayLine) -> None:
        self._stray_lines += 1
        if self._stray_lines <= _STRAY_LINES_TOLD:
            self._say("S", str(line))
        if self.state is State.READY and self._transactions:
            self._lose_step("out-of-step", f"The host said what was not asked for: {line}")

    def _on_reply(self, reply: RemoteReply) -> None:
        if reply.code == 421 and self.state is not State.QUIT:
            return self._fail_by(reply, "service-closing")
        match self.state:
            case State.GREETING:
                self._say_hello() if reply.code // 100 == 2 else self._fail_by(reply, "greeting-refused")
            case State.EHLO | State.HELO:
                self._on_hello(reply)
            case State.STARTTLS:
                self._on_starttls(reply)
            case State.AUTH:
                self._on_auth(reply)
            case State.ENVELOPE | State.FINAL:
                self._on_transaction(reply)
            case State.BODY:
                # A refusal amid the message: it stays incomplete, so the connection is of no more use.
                self._fail_by(reply, "refused-midway", keeps_class=True)
            case State.QUIT:
                self.state = State.CLOSED
            case State.READY:
                self._fail_by(reply, "unasked-reply")
        return None

    def _on_hello(self, reply: RemoteReply) -> None:
        if reply.code // 100 == 2:
            if self.state is State.EHLO:
                words = [line.upper().partition(" ") for line in reply.lines[1:]]
                self.extensions = {keyword: value for keyword, _, value in words}
            self._after_hello()
        elif self.state is State.EHLO and reply.code // 100 == 5:
            self.state = State.HELO
            self._output += f"HELO {self._helo}\r\n".encode()
            self._say("C", f"HELO {self._helo}")
        else:
            self._fail_by(reply, "hello-refused")

    def _after_hello(self) -> None:
        if not self.tls and self._starttls is not StartTls.NEVER:
            if "STARTTLS" in self.extensions:
                self.state = State.STARTTLS
                self._output += b"STARTTLS\r\n"
                return self._say("C", "STARTTLS")
            if self._starttls is StartTls.REQUIRED and not self._login:
                return self.give_up("4.7.4", "tls-missing", "The host does not offer STARTTLS, which is required here")
        if self._login:
            return self._authenticate(self._login)
        return self._be_ready()

    def _on_starttls(self, reply: RemoteReply) -> None:
        if reply.code // 100 == 2:
            self.state = State.HANDSHAKE
            if not self._reader.is_between_replies:
                return self._refuse_injection()
            self._events.append(HandshakeNeeded())
        elif self._starttls is StartTls.REQUIRED:
            self._fail_by(reply, "tls-refused")
        elif self._login:
            self._authenticate(self._login)
        else:
            self._be_ready()
        return None

    def _refuse_injection(self) -> None:
        """Octets after the reply to STARTTLS, in clear: somebody on the way put them there."""
        self.give_up("4.7.0", "tls-injection", "The host sent more than its reply to STARTTLS in clear")

    def _authenticate(self, login: Login) -> None:
        mechanisms = self.extensions.get("AUTH", "").split()
        if not self.tls:
            return self.give_up("4.7.11", "auth-needs-tls", NEEDS_TLS)
        user, password = login.username.encode(), login.password.encode()
        if "PLAIN" in mechanisms:
            self._auth_lines = []
            self._output += b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password) + b"\r\n"
            self._say("C", "AUTH PLAIN (credentials)")
        elif "LOGIN" in mechanisms:
            self._auth_lines = [base64.b64encode(user), base64.b64encode(password)]
            self._output += b"AUTH LOGIN\r\n"
            self._say("C", "AUTH LOGIN")
        else:
            return self.give_up("4.7.0", "auth-missing", "The host offers neither AUTH PLAIN nor AUTH LOGIN")
        self.state = State.AUTH
        return None

    def _on_auth(self, reply: RemoteReply) -> None:
        if reply.code == 334 and self._auth_lines:
            self._output += self._auth_lines.pop(0) + b"\r\n"
            self._say("C", "(credentials)")
        elif reply.code == 235:
            self._be_ready()
        else:
            self._fail_by(reply, "auth-failed")

    def _on_transaction(self, reply: RemoteReply) -> None:
        if not self._expected:
            raise ProtocolViolation(f"sent a reply that answers nothing: {reply}")
        command, index = self._expected.popleft()
        positive = reply.code // 100 == 2
        if reply.code // 100 == 3 and command != "DATA":
            what = "the final dot" if command == "DOT" else command
            return self._lose_step("out-of-step", f"The host is out of step, it answered {what} with {reply}")
        match command:
            case "MAIL":
                self._on_mail(reply, positive=positive)
            case "RCPT":
                assert index is not None
                self._on_recipient(reply, index, positive=positive)
            case "DATA":
                self._on_data(reply)
            case "RSET" if not positive:
                self._lose_step("out-of-step", f"The host is out of step, it answered RSET with {reply}")
            case "RSET" if self._refusal or (self._probes and self._outcomes[0]):
                self._finish(self._refusal)
            case "RSET" if not self._expected and self._mail:
                self._begin(self._mail)
            case "DOT":
                self._finish(_outcome(reply, "accepted" if positive else "message-refused"))
        return None

    def _on_mail(self, reply: RemoteReply, *, positive: bool) -> None:
        assert self._mail is not None
        if not positive:
            outcome = _outcome(reply, "sender-refused")
            if self._transactions > 1:
                outcome = _for_now(outcome)
            self._outcomes = [outcome] * len(self._outcomes)
        if not self.pipelines:
            self._send_recipient(0) if positive else self._finish_without_data()

    def _on_recipient(self, reply: RemoteReply, index: int, *, positive: bool) -> None:
        assert self._mail is not None
        if positive and self._probes:
            self._outcomes[index] = _outcome(reply, "recipient-accepted")
        elif positive and self._outcomes[index] is None:
            self._accepted.add(index)
        elif self._outcomes[index] is None:
            self._outcomes[index] = _outcome(reply, "recipient-refused")
        if self.pipelines:
            return
        if index + 1 < len(self._mail.recipients):
            self._send_recipient(index + 1)
        elif self._probes:
            self._command("RSET", "RSET")
        elif self._accepted or len(self._mail.recipients) > 1:
            # Where nobody was accepted, too: one refusal said twice would have DATA answered by the other's consent.
            self._command("DATA", "DATA")
        else:
            self._finish_without_data()

    def _on_data(self, reply: RemoteReply) -> None:
        if reply.code // 100 == 3 and self._accepted:
            self.state, self._stuffer = State.BODY, DotStuffer()
            self._events.append(BodyWanted())
        elif reply.code // 100 == 3:
            # Nobody wants it, yet the host waits for a message: an empty one ends that (RFC 2920 §3.1).
            self._output += b".\r\n"
            self._expected.append(("DOT", None))
            self.note("no recipient was accepted: the final dot alone")
        elif reply.code // 100 == 2:
            self._lose_step("out-of-step", f"The host is out of step, it answered DATA with {reply}")
        elif self._accepted or len(self._outcomes) > 1:
            self._refusal = _outcome(reply, "data-refused")
            self._command("RSET", "RSET")
        else:
            self._finish_without_data()

    # Ends

    def _be_ready(self) -> None:
        self.state = State.READY
        self._events.append(Ready())

    def _finish_without_data(self) -> None:
        self._needs_reset = True
        self._finish(None)

    def _keep_first_refusal(self) -> None:
        """The host hung up before it answered DATA, most likely because of that refusal; another one might be the same,
        said twice."""
        first = next((own for own in self._outcomes if own), None)
        self._outcomes = [own if own is first else None for own in self._outcomes]

    def _lose_step(self, reason: str, text: str) -> None:
        """What the host said can't be told apart: before its consent to DATA nothing of it counts."""
        if self.state is State.ENVELOPE:
            self._outcomes, self._refusal = [None] * len(self._outcomes), None
        self.give_up("4.5.0", reason, text)

    def _finish(self, outcome: Outcome | None) -> None:
        """The transaction is over; `outcome` is for those that have none of their own."""
        fallback = outcome or Outcome(Fate.LATER, "4.5.0", "The host gave no answer", "protocol-error")
        self.state = State.READY
        self._mail = None
        self._expected.clear()
        self._events.append(Sent(tuple(own or fallback for own in self._outcomes)))

    def _fail_by(self, reply: RemoteReply, reason: str, *, keeps_class: bool = False) -> None:
        outcome = _outcome(reply, reason)
        if not keeps_class:
            outcome = _for_now(outcome)
        self._end(outcome if outcome.fate is not Fate.DELIVERED else _later("4.5.0", "protocol-error", str(reply)))

    def _end(self, outcome: Outcome) -> None:
        """The session is over, and with it the transaction, if there is one."""
        state, self.state = self.state, State.CLOSED
        if state is State.FINAL and self._mail and outcome.code is None:
            text = f"{outcome.text}: it may have been delivered, and is sent again"
            outcome = Outcome(Fate.UNKNOWN, "4.4.2", text, "lost-after-final-dot")
        if state is State.ENVELOPE and self._transactions > 1:
            # Without an answer to DATA nothing shows that the session was still in step.
            self._outcomes, self._refusal = [None] * len(self._outcomes), None
        elif state is State.ENVELOPE and not self._refusal:
            self._keep_first_refusal()
        self.note(outcome.text)
        self._output.clear()
        # What was still to be done can't be done any more; results stay.
        self._events = deque(event for event in self._events if isinstance(event, Sent))
        if state is State.QUIT or state is State.CLOSED:
            return
        if self._mail is None:
            self._events.append(SessionFailed(outcome))
            return
        self._mail = None
        self._events.append(Sent(tuple(own or self._refusal or outcome for own in self._outcomes)))

    # What we say

    def _say_hello(self) -> None:
        self.state = State.EHLO
        self._output += f"EHLO {self._helo}\r\n".encode()
        self._say("C", f"EHLO {self._helo}")

    def _command(self, name: str, line: str, index: int | None = None) -> None:
        self._output += line.encode() + b"\r\n"
        self._say("C", line, index)
        self._expected.append((name, index))

    def _send_recipient(self, index: int) -> None:
        assert self._mail is not None
        recipient = self._mail.recipients[index]
        line = f"RCPT TO:<{recipient.forward_path}>"
        if "DSN" in self.extensions:
            line += _parameter("NOTIFY", recipient.dsn_notify) + _parameter("ORCPT", recipient.dsn_orcpt)
        self._command("RCPT", line, index)

    def _mail_command(self, mail: Mail) -> str:
        line = f"MAIL FROM:<{mail.envelope.reverse_path}>"
        if "SIZE" in self.extensions:
            line += f" SIZE={mail.size_octets}"
        if mail.envelope.eight_bit and "8BITMIME" in self.extensions:
            line += " BODY=8BITMIME"
        if mail.envelope.smtputf8:
            line += " SMTPUTF8"
        if "DSN" in self.extensions:
            line += _parameter("RET", mail.envelope.dsn_ret) + _parameter("ENVID", mail.envelope.dsn_envid)
        return line

    def _obstacle(self, mail: Mail) -> Outcome | None:
        """Why this host can't take the mail whatever we said, from what it announced."""
        limit = self.extensions.get("SIZE", "")
        if limit.isdecimal() and len(limit) < 20 and 0 < int(limit) < mail.size_octets:
            text = f"{self._host} takes messages of up to {limit} octets; this one has {mail.size_octets}"
            return Outcome(Fate.NEVER, "5.3.4", text, "too-large")
        why = f", and the message can't do without: {mail.why_not_ascii}" if mail.why_not_ascii else ""
        if mail.envelope.smtputf8 and "SMTPUTF8" not in self.extensions:
            text = f"{self._host} can't take addresses or header fields outside ASCII (it lacks SMTPUTF8){why}"
            return Outcome(Fate.NEVER, "5.6.7", text, "no-smtputf8")
        if mail.envelope.eight_bit and "8BITMIME" not in self.extensions:
            text = f"{self._host} can't take 8-bit text (it lacks 8BITMIME){why}"
            return Outcome(Fate.NEVER, "5.6.3", text, "no-8bitmime")
        return None

    def _say(self, who: str, text: str, recipient: int | None = None) -> None:
        # What comes after a transaction stands after it: in front it would seem to be said before MAIL.
        lines = self._dialog if self._transactions else self._session_dialog
        lines.append(DialogLine(f"{who}: {text[:MAX_TEXT]}", recipient))


def _outcome(reply: RemoteReply, reason: str) -> Outcome:
    fates = {2: Fate.DELIVERED, 3: Fate.LATER, 4: Fate.LATER, 5: Fate.NEVER}
    family = reply.code // 100
    status = reply.enhanced_code or f"{4 if family == 3 else family}.0.0"
    return Outcome(fates[family], status, str(reply), reason, reply.code)


def _for_now(outcome: Outcome) -> Outcome:
    """The same refusal, as one that is not for good."""
    if outcome.fate is not Fate.NEVER:
        return outcome
    return replace(outcome, fate=Fate.LATER, status=f"4{outcome.status[1:]}")


def _later(status: str, reason: str, text: str) -> Outcome:
    return Outcome(Fate.LATER, status, text, reason)


def _parameter(name: str, value: str) -> str:
    """An ESMTP parameter, left out when its value could not stand in a command."""
    return f" {name}={value}" if _XTEXT.fullmatch(value) else ""
