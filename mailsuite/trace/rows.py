"""Rows of stories as batches of the store insert them. Times are as `sql.timestamp` adapts them."""

from typing import Any, NamedTuple

from mailsuite.database.sql import row_of
from mailsuite.trace.models import Event, Story, StoryRecipient


@row_of(Story)
class StoryRow(NamedTuple):
    id: int
    kind: str
    outcome: str
    reason: str
    at: Any
    client_address: str
    client_name: str
    reverse_path: str
    sender_key: str
    sender_domain_id: int | None
    sender_mailbox_id: int | None
    from_text: str
    subject: str
    message_id: str
    size_octets: int
    data: str


@row_of(Event)
class EventRow(NamedTuple):
    id: int
    story_id: int
    at: Any
    kind: str
    address: str
    address_key: str
    domain_id: int | None
    mailbox_id: int | None
    reason: str
    text: str


@row_of(StoryRecipient)
class StoryRecipientRow(NamedTuple):
    id: int
    story_id: int
    address: str
    domain_id: int | None
    fate: str
    reason: str
    text: str
    attempt_count: int = 0
