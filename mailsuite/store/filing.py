"""Filing what was received: DELIVER and APPEND, one content for all who get it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import structs

from mailsuite.directory.models import Mailbox
from mailsuite.ids import new_id
from mailsuite.mail.address import AddressError, address_key
from mailsuite.queue.models import QueuedMessage
from mailsuite.queue.rows import QueuedMessageRow, QueuedRecipientRow
from mailsuite.reports.rows import IncomingReportRow
from mailsuite.store import fates
from mailsuite.store.batch import Batch, Filed, FolderRow
from mailsuite.store.operations import (
    Append,
    AppendAnswer,
    Arrival,
    Deliver,
    EventFacts,
    LocalDelivery,
    Outgoing,
    Refused,
    ReportDelivery,
    StoryFacts,
)
from mailsuite.store.reading import Reading
from mailsuite.store.rows import ContentRow, MessageRow
from mailsuite.store.sql import timestamp
from mailsuite.trace.models import Event, Story
from mailsuite.trace.rows import EventRow, StoryRow

# The reason, in one word, why what was queued is not tried; the event's text has the sentence.
HELD = "held"
FILED, QUEUED = "filed", "queued"


def deliver(batch: Batch, op: Deliver) -> None:
    """Inserts one reception whole. A mailbox named twice gets it once. Refused as nonexistent, with nothing inserted,
    when a mailbox that is to get it was removed since, or the one that sends it."""
    _refuse_removed_sender(batch, op)
    filed = batch.files[op.spool]
    places = {
        local.mailbox_id: (local, batch.folder_for(local.mailbox_id, local.role, local.folder))
        for local in reversed(op.local)
    }
    content_id = _insert_content(batch, filed)
    events: list[EventFacts] = list(op.story.events)
    for local, folder in reversed(places.values()):
        keywords = " ".join(local.keywords)
        size, story_id = filed.reading.size_octets, op.story.story_id
        _insert_message(batch, folder, content_id, size, local.prefix, local.flags, keywords, story_id)
        fates.insert_local(batch, story_id, local, folder.role)
        events.append(_filed_event(local, folder))
    hold_reason = _count(batch, op)
    for outgoing in op.outgoing:
        events.extend(_enqueue(batch, outgoing, hold_reason, content_id, filed.reading.size_octets, op.story.story_id))
    events.extend(_insert_report(batch, report, content_id, op.story.story_id) for report in op.reports)
    insert_story(batch, op.story, events, filed.reading)


def arrive(batch: Batch, arrival: Arrival, queued: QueuedMessage) -> None:
    """Files a queued message, whose content is in the row, where it should have come in the first place.

    Whoever had it in this story already, by another recipient or before, does not get it again.
    """
    content, story_id = queued.content, queued.story_id or queued.pk
    mailbox_ids, queued_for = _had(batch, story_id)
    events = list(arrival.events)
    for local in arrival.local:
        if local.mailbox_id in mailbox_ids:
            continue
        folder = batch.folder_for(local.mailbox_id, local.role, local.folder)
        _insert_message(batch, folder, content.pk, content.size_octets, local.prefix, local.flags, "", story_id)
        if _key(local.address) not in queued_for:
            fates.insert_local(batch, story_id, local, folder.role)
        events.append(_filed_event(local, folder))
    for outgoing in arrival.outgoing:
        if recipients := [one for one in outgoing.recipients if _key(one.forward_path) not in queued_for]:
            outgoing = structs.replace(outgoing, recipients=recipients)
            events.extend(_enqueue(batch, outgoing, "", content.pk, content.size_octets, story_id))
    events.extend(_insert_report(batch, report, content.pk, story_id) for report in arrival.reports)
    for event in events:
        insert_event(batch, story_id, event)


def _had(batch: Batch, story_id: int) -> tuple[set[int], set[str]]:
    """The mailboxes for which the story says that it was filed, and the address keys for which it was queued; what this
    batch itself did included."""
    batch.flush()
    told = Event.objects.filter(story_id=story_id, kind__in=(FILED, QUEUED))
    rows = list(told.values_list("kind", "mailbox_id", "address_key"))
    filed_for = {mailbox_id for kind, mailbox_id, _ in rows if kind == FILED and mailbox_id}
    return filed_for, {key for kind, _, key in rows if kind == QUEUED}


def append(batch: Batch, op: Append) -> AppendAnswer:
    folder = batch.folder(op.mailbox_id, op.folder_id)
    usage = batch.usage[op.mailbox_id]
    files = [batch.files[item.spool] for item in op.items]
    size = sum(filed.reading.size_octets for filed in files)
    if op.quota_octets and usage.used_octets + size > op.quota_octets:
        raise Refused("over-quota", "the mailbox is full")
    uids = []
    for item, filed in zip(op.items, files, strict=True):
        content_id, size_octets = _insert_content(batch, filed), filed.reading.size_octets
        keywords = " ".join(sorted(item.keywords))
        uids.append(
            _insert_message(
                *(batch, folder, content_id, size_octets, b"", item.flags, keywords, None),
                internal_date=item.internal_date,
                row_id=item.message_id,
            )
        )
    return AppendAnswer(folder.uid_validity, uids)


def already_delivered(story_id: int) -> bool:
    """Whether this very operation was committed before: its answer was lost and it is being asked again."""
    return Story.objects.filter(pk=story_id).exists()


def _insert_content(batch: Batch, filed: Filed) -> int:
    reading, content_id = filed.reading, new_id()
    batch.insert(
        ContentRow(
            id=content_id,
            blob=filed.blob,
            size_octets=reading.size_octets,
            header_octets=reading.header_octets,
            received_at=batch.now_value,
            header=reading.header,
            envelope=reading.envelope,
            body_structure=reading.body_structure,
            body=reading.body,
            parts=reading.parts,
            message_id=reading.message_id,
            subject=reading.subject,
            from_text=reading.from_text,
            to_text=reading.to_text,
            cc_text=reading.cc_text,
            sent_at=timestamp()(reading.sent_at) if reading.sent_at else None,
            thread_id=reading.thread_id,
        )
    )
    return content_id


def _insert_message(
    batch: Batch,
    folder: FolderRow,
    content_id: int,
    size_octets: int,
    prefix: bytes,
    bits: int,
    keywords: str,
    story_id: int | None,
    *,
    internal_date: datetime | None = None,
    row_id: int = 0,
) -> int:
    size = len(prefix) + size_octets
    uid = folder.draw_uid()
    row_id = row_id or new_id()
    folder.count(bits, size)
    usage = batch.usage[folder.mailbox_id]
    usage.used_octets += size
    usage.message_count += 1
    received_at: Any = timestamp()(internal_date.astimezone(UTC)) if internal_date else batch.now_value
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
            modseq=batch.modseq(folder),
            internal_date=received_at,
            save_date=batch.now_value,
            prefix=prefix,
            size_octets=size,
            story_id=story_id,
        )
    )
    return uid


def _filed_event(local: LocalDelivery, folder: FolderRow) -> EventFacts:
    return EventFacts(FILED, local.address, local.reason, f"into {folder.name}", local.domain_id, local.mailbox_id)


def _insert_report(batch: Batch, report: ReportDelivery, content_id: int, story_id: int) -> EventFacts:
    batch.insert(
        IncomingReportRow(
            *(new_id(), report.domain_id, report.address, report.kind, content_id, story_id, batch.now_value)
        )
    )
    fates.insert(batch, story_id, report.address, report.domain_id, fates.Fate.DELIVERED)
    return EventFacts(FILED, report.address, "", "for the report reader", report.domain_id)


def _refuse_removed_sender(batch: Batch, op: Deliver) -> None:
    sending = batch.sendings.get(op.story.sender_mailbox_id or 0)
    if sending and sending.state == Mailbox.State.REMOVED:
        raise Refused("nonexistent", f"mailbox {sending.mailbox_id} is gone")


def _count(batch: Batch, op: Deliver) -> str:
    """Counts a submission against its mailbox's caps; returns why what goes to others is to be held, or ""."""
    mailbox_id = op.story.sender_mailbox_id
    if mailbox_id not in batch.sendings or op.story.kind != "submission":
        return ""
    return batch.sendings[mailbox_id].count(_elsewhere(op))


def _elsewhere(op: Deliver) -> Iterator[str]:
    """Those on other hosts whom the sender wrote to, also by aliases of the sender's own domain. Whom an alias of
    another customer leads to is not the sender's doing, and not for the sender's administrators to count."""
    own = (outgoing for outgoing in op.outgoing if outgoing.domain_id == op.story.sender_domain_id)
    return (recipient.forward_path for outgoing in own for recipient in outgoing.recipients)


def recipients_elsewhere(op: Deliver) -> dict[str, str]:
    """The address keys of those on other hosts, by forward-path."""
    return {path: _key(path) for path in _elsewhere(op)}


def _enqueue(
    batch: Batch, outgoing: Outgoing, hold_reason: str, content_id: int, size_octets: int, story_id: int
) -> list[EventFacts]:
    hold_reason = outgoing.hold_reason or hold_reason
    message_id, held = new_id(), batch.now_value if hold_reason else None
    batch.queued = True
    batch.insert(
        QueuedMessageRow(
            id=message_id,
            content_id=content_id,
            prefix=outgoing.prefix,
            size_octets=len(outgoing.prefix) + size_octets,
            reverse_path=outgoing.reverse_path,
            story_id=story_id,
            sender_mailbox_id=outgoing.sender_mailbox_id,
            domain_id=outgoing.domain_id,
            smtputf8=outgoing.smtputf8,
            eight_bit=outgoing.eight_bit,
            dsn_ret=outgoing.dsn_ret,
            dsn_envid=outgoing.dsn_envid,
            created_at=batch.now_value,
            expires_at=timestamp()(outgoing.expires_at),
            held_at=held,
            hold_reason=hold_reason,
        )
    )
    fate, reason = (fates.Fate.HELD, HELD) if held else (fates.Fate.WAITING, "")
    for recipient in outgoing.recipients:
        row_id, path = new_id(), recipient.forward_path
        batch.insert(
            QueuedRecipientRow(
                id=row_id,
                message_id=message_id,
                forward_path=path,
                destination=recipient.destination,
                next_attempt_at=None if held else batch.now_value,
                dsn_notify=recipient.dsn_notify,
                dsn_orcpt=recipient.dsn_orcpt,
            )
        )
        fates.insert(batch, story_id, path, outgoing.domain_id, fate, reason, hold_reason, row_id=row_id)
    return [
        EventFacts(QUEUED, recipient.forward_path, reason, hold_reason, outgoing.domain_id)
        for recipient in outgoing.recipients
    ]


def insert_story(batch: Batch, story: StoryFacts, events: list[EventFacts], reading: Reading | None) -> None:
    """A Story with its first events; what the message says of itself comes from its reading."""
    said = reading or story
    batch.insert(
        StoryRow(
            id=story.story_id,
            kind=story.kind,
            outcome=story.outcome,
            reason=story.reason,
            at=timestamp()(story.at),
            client_address=story.client_address,
            client_name=story.client_name,
            reverse_path=story.reverse_path,
            sender_key=_key(story.reverse_path),
            sender_domain_id=story.sender_domain_id,
            sender_mailbox_id=story.sender_mailbox_id,
            from_text=said.from_text,
            subject=said.subject,
            message_id=said.message_id,
            size_octets=said.size_octets,
            data=story.data,
        )
    )
    # A mailbox that has the message has it, whatever does not go on from there.
    filed = {event.address for event in events if event.kind == FILED}
    for event in events:
        insert_event(batch, story.story_id, event)
        if event.address not in filed:
            fates.insert_refused(batch, story.story_id, story.outcome, event)


def insert_event(batch: Batch, story_id: int, event: EventFacts) -> None:
    batch.insert(
        EventRow(
            id=new_id(),
            story_id=story_id,
            at=batch.now_value,
            kind=event.kind,
            address=event.address,
            address_key=_key(event.address),
            domain_id=event.domain_id,
            mailbox_id=event.mailbox_id,
            reason=event.reason,
            text=event.text,
        )
    )


# The same mailboxes get mail again and again, and each message names one several times.
@lru_cache(maxsize=4096)
def _key(address: str) -> str:
    """The address as it is searched for; what is none is kept as it came."""
    try:
        return address_key(address) if address else ""
    except AddressError:
        return address[:320]
