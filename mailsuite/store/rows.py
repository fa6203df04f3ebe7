"""Rows of the store as its batches insert them. Times are as `sql.timestamp` adapts them."""

from typing import Any, NamedTuple

from mailsuite.database.sql import row_of
from mailsuite.store.models import Content, Message, Tombstone


@row_of(Content)
class ContentRow(NamedTuple):
    id: int
    blob: str
    reading_version: int
    size_octets: int
    header_octets: int
    received_at: Any
    header: bytes | None
    envelope: bytes
    body_structure: bytes
    body: bytes
    parts: bytes
    message_id: str
    subject: str
    from_text: str
    to_text: str
    cc_text: str
    sent_at: Any
    thread_id: int


@row_of(Message)
class MessageRow(NamedTuple):
    id: int
    folder_id: int
    mailbox_id: int
    content_id: int
    uid: int
    unique_id: int
    flags: int
    keywords: str
    modseq: int
    created_modseq: int
    internal_date: Any
    save_date: Any
    prefix: bytes
    size_octets: int
    story_id: int | None


@row_of(Tombstone)
class TombstoneRow(NamedTuple):
    id: int
    folder_id: int
    uid: int
    modseq: int
    message_id: int
    created_modseq: int
