"""The commands of POP3 (RFC 1939, 2449, 2595, 5034): which is legal when, and what each says or asks of the store.

A command is one function and one row of COMMANDS. It gets the context and its argument, says its answer by
`context.replies`, or returns the event whose outcome is the answer. Raises RuleBroken or NoSuchMessage.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mailsuite.protocol.sasl import Credentials, PlainExchange, SaslError, decode_response
from retrieval.pop3.context import (
    Context,
    Event,
    LoginRequested,
    MessageRequested,
    NoSuchMessage,
    RuleBroken,
    State,
    UpdateRequested,
)
from retrieval.pop3.maildrop import unique_id_text

# AUTHORIZATION state


def capa(context: Context, argument: str) -> None:
    """RFC 2449 §5: the capabilities as of now."""
    lines = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER"]
    if context.tls_active:
        lines += ["USER", "SASL PLAIN"]
    elif context.starttls_available:
        lines.append("STLS")
    context.replies.say_lines("capabilities follow", [*lines, "IMPLEMENTATION Mailsuite"])


def stls(context: Context, argument: str) -> None:
    """RFC 2595 §4: the transport goes on under TLS behind the answer."""
    if context.tls_active:
        raise RuleBroken("TLS is active already")
    if not context.starttls_available:
        raise RuleBroken("TLS is not available here")
    context.replies.say("+OK begin TLS now")
    context.wants_starttls = True


def user(context: Context, argument: str) -> None:
    """RFC 1939 §7."""
    if not argument:
        raise RuleBroken("USER takes the name of a mailbox")
    context.name = argument
    # The same for every name: which mailboxes there are is nobody's business.
    context.replies.say("+OK send PASS")


def password(context: Context, argument: str) -> Event:
    """PASS. Spaces are part of the password (RFC 1939 §7)."""
    name, context.name = context.name, None
    if name is None:
        raise RuleBroken("say USER first")
    if not argument:
        raise RuleBroken("PASS takes a password")
    return LoginRequested(name, argument)


def auth(context: Context, argument: str) -> Event | None:
    """RFC 5034, with an initial response; without a mechanism those that there are."""
    mechanism, _, initial = argument.partition(" ")
    if not mechanism:
        # Old clients ask so for the mechanisms, from before CAPA.
        context.replies.say_lines("mechanisms follow", ["PLAIN"])
        return None
    if mechanism.upper() != "PLAIN":
        raise RuleBroken("the only SASL mechanism here is PLAIN")
    context.exchange = PlainExchange()
    if initial := initial.strip(" "):
        return sasl_response(context, initial.encode())
    context.replies.say("+ ")
    return None


def sasl_response(context: Context, line: bytes) -> Event | None:
    """The line that an AUTH waits for, in base64, or "*" to give it up."""
    exchange, context.exchange = context.exchange, None
    assert exchange is not None
    if line == b"*":
        context.replies.say("-ERR AUTH given up")
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


def stat(context: Context, argument: str) -> None:
    """Number and octets of the messages that are not marked as deleted."""
    context.replies.say(f"+OK {context.maildrop.count} {context.maildrop.size_octets}")


def scan(context: Context, argument: str) -> None:
    """LIST: sizes, of one message or all."""
    _scan(context, argument, context.maildrop.size_of, f"{context.maildrop.count} messages")


def uidl(context: Context, argument: str) -> None:
    """Unique-ids, of one message or all."""
    unique_id = context.maildrop.unique_id_of
    _scan(context, argument, lambda number: unique_id_text(unique_id(number)), "unique-ids follow")


def retr(context: Context, argument: str) -> Event:
    """The whole message."""
    return _message(context, _message_number(context, argument), None)


def top(context: Context, argument: str) -> Event:
    """The header and so many lines of the body."""
    first, _, lines = argument.partition(" ")
    if not _is_number(lines := lines.strip(" ")):
        raise RuleBroken("TOP takes a message number and a number of lines")
    return _message(context, _message_number(context, first), int(lines))


def dele(context: Context, argument: str) -> None:
    """Mark a message; nothing is removed before QUIT."""
    number = _message_number(context, argument)
    context.maildrop.delete(number)
    context.replies.say(f"+OK message {number} deleted")


def noop(context: Context, argument: str) -> None:
    """Nothing."""
    context.replies.say("+OK")


def rset(context: Context, argument: str) -> None:
    """Take all marks back."""
    context.maildrop.reset()
    context.replies.say(f"+OK maildrop has {context.maildrop.count} messages ({context.maildrop.size_octets} octets)")


def quit_session(context: Context, argument: str) -> Event | None:
    """QUIT: remove what is marked, which the UPDATE state is for, and close."""
    if context.state is State.TRANSACTION:
        context.state = State.UPDATE
        return UpdateRequested(context.maildrop.deleted_uids)
    context.sign_off()
    return None


def _message(context: Context, number: int, lines: int | None) -> MessageRequested:
    drop = context.maildrop
    return MessageRequested(drop.uid_of(number), drop.unique_id_of(number), drop.size_of(number), lines)


def _message_number(context: Context, argument: str) -> int:
    if not _is_number(argument):
        raise RuleBroken("that command takes a message number")
    if not context.maildrop.has(int(argument)):
        raise NoSuchMessage
    return int(argument)


def _scan(context: Context, argument: str, value: Callable[[int], object], text: str) -> None:
    if argument:
        number = _message_number(context, argument)
        context.replies.say(f"+OK {number} {value(number)}")
    else:
        context.replies.say(f"+OK {text}")
        context.listing = (f"{number} {value(number)}" for number in context.maildrop.numbers())


def _is_number(text: str) -> bool:
    """Of 32 bits or so: some clients ask for TOP with the largest number of lines that they know."""
    return 0 < len(text) <= 10 and text.isascii() and text.isdigit()


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table. `needs_tls`: never taken in clear text."""

    states: frozenset[State]
    run: Callable[[Context, str], Event | None]
    needs_tls: bool = False


_BEFORE_LOGIN, _OPEN = frozenset({State.AUTHORIZATION}), frozenset({State.TRANSACTION})
COMMANDS = {
    "CAPA": Command(_BEFORE_LOGIN | _OPEN, capa),
    "STLS": Command(_BEFORE_LOGIN, stls),
    "USER": Command(_BEFORE_LOGIN, user, needs_tls=True),
    "PASS": Command(_BEFORE_LOGIN, password, needs_tls=True),
    "AUTH": Command(_BEFORE_LOGIN, auth, needs_tls=True),
    "STAT": Command(_OPEN, stat),
    "LIST": Command(_OPEN, scan),
    "UIDL": Command(_OPEN, uidl),
    "RETR": Command(_OPEN, retr),
    "TOP": Command(_OPEN, top),
    "DELE": Command(_OPEN, dele),
    "NOOP": Command(_OPEN, noop),
    "RSET": Command(_OPEN, rset),
    "QUIT": Command(_BEFORE_LOGIN | _OPEN, quit_session),
}
