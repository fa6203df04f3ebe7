"""What a Content row keeps ready of its message: the answers to FETCH as octets, and the keys that SORT, THREAD and
search go by. All of these columns are filled here, whatever brought the message."""

from typing import Any

from mailsuite.database.sql import timestamp
from mailsuite.ids import new_id
from mailsuite.store.rows import ContentRow
from mailsuite.writer.batch import Batch, Filed
from mailsuite.writer.reading import Reading

# To be raised with each change of what is kept, or how: rows of an earlier version can then be told, and read anew.
READING_VERSION = 1


def columns(reading: Reading) -> dict[str, Any]:
    """The columns that come from reading the message, by name, with values as the database takes them; all of them can
    be made anew from the blob."""
    return {
        "reading_version": READING_VERSION,
        "size_octets": reading.size_octets,
        "header_octets": reading.header_octets,
        "header": reading.header,
        "envelope": reading.envelope,
        "body_structure": reading.body_structure,
        "body": reading.body,
        "parts": reading.parts,
        "message_id": reading.message_id,
        "subject": reading.subject,
        "from_text": reading.from_text,
        "to_text": reading.to_text,
        "cc_text": reading.cc_text,
        "sent_at": timestamp()(reading.sent_at) if reading.sent_at else None,
        "thread_id": reading.thread_id,
    }


def insert_content(batch: Batch, filed: Filed) -> int:
    """Adds a Content row for what was filed; returns its id."""
    content_id = new_id()
    batch.insert(ContentRow(id=content_id, blob=filed.blob, received_at=batch.now_value, **columns(filed.reading)))
    return content_id
