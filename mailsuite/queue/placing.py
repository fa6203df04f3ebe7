"""Rows of the queue made and taken back in a batch: by a delivery, and by what arrives here after all."""

from collections.abc import Iterable

from msgspec import structs

from mailsuite.ids import new_id
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.queue.operations import Arrival
from mailsuite.queue.rows import SETTLED_MESSAGE, QueuedMessageRow, QueuedRecipientRow
from mailsuite.store import hooks
from mailsuite.store.filing import filed_event, insert_message
from mailsuite.store.hooks import Placed
from mailsuite.store.locked import locked
from mailsuite.store.operations import Outgoing
from mailsuite.trace.models import Event
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.telling import FILED, Fate, filed_as, insert_event, insert_recipient, search_key
from mailsuite.writer.batch import Batch

# The reason, in one word, why what was queued is not tried; the event's text has the sentence.
HELD = "held"
QUEUED = "queued"


def enqueue(batch: Batch, outgoing: Outgoing, placed: Placed) -> list[EventFacts]:
    """Queues a message that is filed for these recipients; answers the events of its story."""
    hold_reason = outgoing.hold_reason or placed.hold_reason
    message_id, held = new_id(), batch.now_value if hold_reason else None
    batch.queued = True
    batch.insert(
        QueuedMessageRow(
            id=message_id,
            content_id=placed.content_id,
            prefix=outgoing.prefix,
            size_octets=len(outgoing.prefix) + placed.size_octets,
            story_id=placed.story_id,
            sender_mailbox_id=outgoing.sender_mailbox_id,
            domain_id=outgoing.domain_id,
            envelope=outgoing.envelope,
            created_at=batch.now_value,
            held_at=held,
            hold_reason=hold_reason,
        )
    )
    fate, reason = (Fate.HELD, HELD) if held else (Fate.WAITING, "")
    for recipient in outgoing.recipients:
        row_id, path = new_id(), recipient.recipient.forward_path
        batch.insert(
            QueuedRecipientRow(
                id=row_id,
                message_id=message_id,
                recipient=recipient.recipient,
                destination=recipient.destination,
                next_attempt_at=None if held else batch.now_value,
            )
        )
        insert_recipient(batch, placed.story_id, path, outgoing.domain_id, fate, reason, hold_reason, row_id=row_id)
    return [
        EventFacts(QUEUED, recipient.recipient.forward_path, reason, hold_reason, outgoing.domain_id)
        for recipient in outgoing.recipients
    ]


def arrive(batch: Batch, arrival: Arrival, queued: QueuedMessage) -> None:
    """Files a queued message, whose content is in the row, where it should have come in the first place.

    Whoever had it in this story already, by another recipient or before, does not get it again.
    """
    content, story_id = queued.content, queued.story_id or queued.pk
    placed = Placed(content.pk, content.size_octets, story_id)
    mailbox_ids, queued_for = _had(batch, story_id)
    events = list(arrival.events)
    for local in arrival.local:
        if local.mailbox_id in mailbox_ids:
            continue
        folder = locked(batch).folder_for(local.mailbox_id, local.role, local.folder)
        insert_message(batch, folder, content.pk, content.size_octets, local.prefix, local.flags, "", story_id)
        if search_key(local.address) not in queued_for:
            insert_recipient(
                *(batch, story_id, local.address, local.domain_id, filed_as(folder.role), local.reason, local.why)
            )
        events.append(filed_event(local, folder))
    for outgoing in arrival.outgoing:
        if recipients := [
            one for one in outgoing.recipients if search_key(one.recipient.forward_path) not in queued_for
        ]:
            outgoing = structs.replace(outgoing, recipients=recipients)
            events.extend(enqueue(batch, outgoing, placed))
    for report in arrival.reports:
        events.extend(hooks.fill(batch, report, placed))
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


def take_back(batch: Batch, story_id: int, since: int) -> Iterable[int]:
    """Removes the recipients that nobody has begun to send to, of a delivery whose rows have later ids than `since`;
    answers the others, which are on their way."""
    ids = list(QueuedMessage.objects.filter(pk__gt=since, story_id=story_id).values_list("pk", flat=True))
    QueuedRecipient.objects.filter(message__in=ids, attempt_count=0).delete()
    QueuedMessage.objects.filter(pk__in=ids, recipients=None).delete()
    SETTLED_MESSAGE.run(batch.cursor, [(batch.now_value, message_id) for message_id in ids])
    return QueuedRecipient.objects.filter(message__in=ids).values_list("pk", flat=True)
