"""Which command is legal when (RFC 5321 §4.1.4): what is missing in the table is out of order."""

from enum import Enum, auto

from mailsuite.mail import reply as replies
from mailsuite.mail.reply import Reply


class State(Enum):
    CONNECTED = auto()
    READY = auto()
    MAIL = auto()
    RCPT = auto()
    SASL = auto()
    CONTENT = auto()
    CLOSED = auto()


ALWAYS = frozenset({"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP", "QUIT"})
LEGAL: dict[State, frozenset[str]] = {
    State.CONNECTED: ALWAYS,
    State.READY: ALWAYS | {"MAIL", "STARTTLS", "AUTH"},
    State.MAIL: ALWAYS | {"RCPT"},
    State.RCPT: ALWAYS | {"RCPT", "DATA"},
}
KNOWN = frozenset().union(*LEGAL.values())
# Known by other servers, not offered here
NOT_OFFERED = frozenset({"EXPN", "TURN", "ETRN", "BDAT", "BURL", "SEND", "SAML", "SOML", "XCLIENT", "XFORWARD", "ATRN"})
# A browser made to talk to us, with commands in what it posts (the cross-protocol attack)
FORBIDDEN = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PATCH", "DELETE"})
# Why a command is not legal, where there is more to say than "out of order"
WHY: dict[tuple[State, str], Reply] = {
    (State.CONNECTED, "MAIL"): replies.SEND_HELLO_FIRST,
    (State.CONNECTED, "RCPT"): replies.SEND_HELLO_FIRST,
    (State.CONNECTED, "DATA"): replies.SEND_HELLO_FIRST,
    (State.CONNECTED, "AUTH"): replies.SEND_HELLO_FIRST,
    (State.CONNECTED, "STARTTLS"): replies.SEND_HELLO_FIRST,
    (State.READY, "RCPT"): replies.SEND_MAIL_FIRST,
    (State.READY, "DATA"): replies.SEND_MAIL_FIRST,
    (State.MAIL, "MAIL"): replies.NESTED_MAIL,
    (State.RCPT, "MAIL"): replies.NESTED_MAIL,
    (State.MAIL, "DATA"): replies.SEND_RECIPIENT_FIRST,
}
