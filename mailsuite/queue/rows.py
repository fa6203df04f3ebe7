"""Rows of the queue as batches of the store insert them. Times are as `sql.timestamp` adapts them."""

from typing import Any, NamedTuple

from mailsuite.database.sql import Update, row_of
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.queue.models import QueuedMessage, QueuedRecipient


@row_of(QueuedMessage, envelope=Envelope)
class QueuedMessageRow(NamedTuple):
    id: int
    content_id: int
    prefix: bytes
    size_octets: int
    story_id: int | None
    sender_mailbox_id: int | None
    domain_id: int | None
    envelope: Envelope
    created_at: Any
    held_at: Any
    hold_reason: str


@row_of(QueuedRecipient, recipient=EnvelopeRecipient)
class QueuedRecipientRow(NamedTuple):
    id: int
    message_id: int
    recipient: EnvelopeRecipient
    destination: str
    next_attempt_at: Any
    state: str = "queued"
    claim_token: str = ""
    attempt_count: int = 0
    last_reply: str = ""
    last_host: str = ""
    cause: str = ""


# Those that wait for no recipient any more.
SETTLED_MESSAGE = Update(
    QueuedMessage,
    "settled_at",
    condition="id = %s AND settled_at IS NULL AND NOT EXISTS (SELECT 1 FROM queue_queuedrecipient r"
    " WHERE r.message_id = queue_queuedmessage.id AND r.settled_at IS NULL)",
)
