"""What crosses between the SMTP client and who drives it: mail to send, events, outcomes. Plain values (RFC 5321)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient


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
class Mail:
    """One transaction. What the envelope says of 8BITMIME and SMTPUTF8 the message needs; `why_not_ascii` says why it
    can't do without, once that was tried; `note` is for the dialog."""

    envelope: Envelope
    recipients: Sequence[EnvelopeRecipient]
    size_octets: int
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
