"""Filing what was received: DELIVER and APPEND, one content for all who get it."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from mailsuite.database.sql import timestamp
from mailsuite.ids import new_id
from mailsuite.store import hooks
from mailsuite.store.content import insert_content
from mailsuite.store.hooks import Placed
from mailsuite.store.locked import FolderRow, locked
from mailsuite.store.models import Content
from mailsuite.store.operations import Append, AppendAnswer, Deliver, LocalDelivery
from mailsuite.store.rows import MessageRow
from mailsuite.trace.models import Story
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.telling import FILED, filed_as, insert_recipient, insert_story
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Refused


def deliver(batch: Batch, op: Deliver) -> None:
    """Inserts one reception whole. A mailbox named twice gets it once. Refused as nonexistent, with nothing inserted,
    when a mailbox that is to get it was removed since, or the one that sends it."""
    hooks.check_sender(batch, op)
    filed = batch.files[op.spool]
    places = {
        local.mailbox_id: (local, locked(batch).folder_for(local.mailbox_id, local.role, local.folder))
        for local in reversed(op.local)
    }
    content_id = insert_content(batch, filed)
    events: list[EventFacts] = list(op.story.events)
    for local, folder in reversed(places.values()):
        keywords = " ".join(local.keywords)
        size, story_id = filed.reading.size_octets, op.story.story_id
        insert_message(batch, folder, content_id, size, local.prefix, local.flags, keywords, story_id)
        insert_recipient(
            *(batch, story_id, local.address, local.domain_id, filed_as(folder.role), local.reason, local.why)
        )
        events.append(filed_event(local, folder))
    placed = Placed(content_id, filed.reading.size_octets, op.story.story_id, hooks.count_submission(batch, op))
    for place in (*op.outgoing, *op.reports):
        events.extend(hooks.fill(batch, place, placed))
    insert_story(batch, op.story, events, filed.reading)


def append(batch: Batch, op: Append) -> AppendAnswer:
    folder = locked(batch).folder(op.mailbox_id, op.folder_id)
    usage = locked(batch).usage[op.mailbox_id]
    files = [batch.files[item.spool] for item in op.items]
    size = sum(filed.reading.size_octets for filed in files)
    if op.quota_octets and usage.used_octets + size > op.quota_octets:
        raise Refused("over-quota", "the mailbox is full")
    uids = []
    for item, filed in zip(op.items, files, strict=True):
        content_id, size_octets = insert_content(batch, filed), filed.reading.size_octets
        keywords = " ".join(sorted(item.keywords))
        uids.append(
            insert_message(
                *(batch, folder, content_id, size_octets, b"", item.flags, keywords, None),
                internal_date=timestamp()(item.internal_date.astimezone(UTC)) if item.internal_date else None,
                row_id=item.message_id,
            )
        )
    return AppendAnswer(folder.uid_validity, uids)


def already_delivered(story_id: int) -> bool:
    """Whether this very operation was committed before: its answer was lost and it is being asked again."""
    return Story.objects.filter(pk=story_id).exists()


def is_delivered(op: Deliver, blobs: Sequence[str] | None) -> bool:
    """The same; with the names of blobs whether by the try that they were made for."""
    if not already_delivered(op.story.story_id):
        return False
    return blobs is None or Content.objects.filter(blob__in=blobs).exists()


def insert_message(
    batch: Batch,
    folder: FolderRow,
    content_id: int,
    size_octets: int,
    prefix: bytes,
    bits: int,
    keywords: str,
    story_id: int | None,
    *,
    internal_date: Any = None,
    row_id: int = 0,
) -> int:
    """Places a content in the folder, behind the prefix; answers its uid. `internal_date` is as the database has it,
    None for now."""
    size = len(prefix) + size_octets
    uid = folder.draw_uid()
    row_id, modseq = row_id or new_id(), locked(batch).modseq(folder)
    folder.count(bits, size)
    usage = locked(batch).usage[folder.mailbox_id]
    usage.used_octets += size
    usage.message_count += 1
    batch.insert(
        MessageRow(
            id=row_id,
            folder_id=folder.id,
            mailbox_id=folder.mailbox_id,
            content_id=content_id,
            uid=uid,
            unique_id=row_id,
            flags=bits,
            keywords=keywords,
            modseq=modseq,
            created_modseq=modseq,
            internal_date=internal_date or batch.now_value,
            save_date=batch.now_value,
            prefix=prefix,
            size_octets=size,
            story_id=story_id,
        )
    )
    return uid


def filed_event(local: LocalDelivery, folder: FolderRow) -> EventFacts:
    return EventFacts(FILED, local.address, local.reason, f"into {folder.name}", local.domain_id, local.mailbox_id)
