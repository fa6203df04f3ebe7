"""What crosses between the SMTP client and who drives it: mail to send, events, outcomes. Plain values (RFC 5321)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Fate(Enum):
    """What became of a recipient. UNKNOWN: the connection broke after the final dot, before its reply."""

    DELIVERED = "delivered"
    LATER = "later"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is an enhanced code, the host's own where it gave one; `text` the host's reply or our words; `code` is
    None when the words are ours; `reason` one word for the story."""

    fate: Fate
    status: str
    text: str
    reason: str
    code: int | None = None

    @property
    def is_own_verdict(self) -> bool:
        """Return whether it was given up without a host's having said so."""
        return self.fate is Fate.NEVER and self.code is None


class StartTls(Enum):
    NEVER = "never"
    OFFERED = "when offered"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Login:
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """`notify` and `original` are NOTIFY and ORCPT as they are written in a command (RFC 3461 §4)."""

    forward_path: str
    notify: str = ""
    original: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction. `reverse_path` "" is the null one; `eight_bit` and `smtputf8` say what the message needs, and
    `why_not_ascii` why it can't do without, once that was tried; `note` is for the dialog."""

    reverse_path: str
    recipients: Sequence[Recipient]
    size_octets: int
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envelope_id: str = ""
    why_not_ascii: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class HandshakeNeeded:
    """Do the TLS handshake now, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is open: call `send`."""


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """Call `send_body` with the message's octets, chunk by chunk, then `end_body`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The transaction is over: an outcome for each recipient, in order."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """There will be no transaction on this connection; the outcome is that of everybody who waited for one."""

    outcome: Outcome


Event = HandshakeNeeded | Ready | BodyWanted | Sent | SessionFailed
