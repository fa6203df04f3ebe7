"""The values of which a delivery status notification is made (RFC 3464)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    """What became of a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class DsnRecipient:
    """One recipient's fate. `status` is the enhanced code; `diagnostic` the remote reply or None; `original_recipient`
    the ORCPT parameter decoded, with its type in front (`rfc822;ann@example.org`)."""

    address: str
    action: Action
    status: str
    remote_host: str | None = None
    diagnostic: str | None = None
    original_recipient: str | None = None
    last_attempt_at: datetime | None = None
    will_retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DsnReport:
    """All that one notification tells. `original` is the message it is about, or as much of it as there is, its header
    block at least; `message_id` and `boundary_seed` are unique to the notification. `returns_header_only` is RET=HDRS
    (RFC 3461 §4.3); `smtputf8` says that the original was sent so."""

    hostname: str
    from_address: str
    to_address: str
    recipients: tuple[DsnRecipient, ...]
    original: bytes
    original_message_id: str
    original_subject: str
    arrived_at: datetime
    now: datetime
    message_id: str
    boundary_seed: str
    envelope_id: str | None = None
    returns_header_only: bool = False
    smtputf8: bool = False
