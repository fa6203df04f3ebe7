"""Taking back what was done after its asker had told the client that it was not.

A client that heard 451 or NO brings the same again: what was done the first time would be there twice. What does no
harm when it was done after all (flags, an expunge, a folder) stays.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from mailsuite.ids import COUNTER_BITS
from mailsuite.queue.claims import SETTLED_MESSAGE
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.reports.models import IncomingReport
from mailsuite.store import copies, maildrop, messages
from mailsuite.store.batch import Batch
from mailsuite.store.filing import insert_event
from mailsuite.store.models import Message
from mailsuite.store.operations import (
    Append,
    AppendAnswer,
    Copy,
    CopyAnswer,
    Deliver,
    DoubtfulCopy,
    DoubtfulDelivery,
    DoubtfulMessages,
    EndCopy,
    EventFacts,
    LeaseAnswer,
    LeaseMaildrop,
    Withdraw,
)
from mailsuite.store.sql import slices
from mailsuite.trace.models import Story, StoryRecipient

Doubtful = DoubtfulDelivery | DoubtfulMessages | DoubtfulCopy
WITHDRAWN, TOO_LATE = "withdrawn", "too-late"
# Rows of a delivery have later ids than its story, but for clocks that were set meanwhile.
CLOCKS_DIFFER = int(timedelta(minutes=5).total_seconds() * 1000) << COUNTER_BITS


def withdraw(batch: Batch, op: Withdraw) -> None:
    """Takes back those that were done."""
    done = Story.objects.filter(
        pk__in=[delivery.story_id for delivery in op.deliveries], outcome=Story.Outcome.ACCEPTED
    )
    stories = set(done.values_list("pk", flat=True))
    for delivery in op.deliveries:
        if delivery.story_id in stories:
            _take_back(batch, delivery)
    for messages_of_one in op.messages:
        _take_back_messages(batch, messages_of_one)
    for copy in op.copies:
        copies.reopen(batch, copy)


def mailboxes(op: Withdraw) -> set[int]:
    """The mailboxes whose rows go."""
    found = {mailbox_id for delivery in op.deliveries for mailbox_id in delivery.mailbox_ids}
    return found | {messages_of_one.mailbox_id for messages_of_one in op.messages}


def is_undone(operation: Any) -> bool:
    """Whether an operation of this kind is taken back when it was done too late."""
    return type(operation) in _UNDO


def undo(batch: Batch, operation: Any, answer: Any) -> None:
    """Takes back what the operation did, whose mailboxes are locked."""
    _UNDO[type(operation)](batch, operation, answer)


def doubtful(operation: Any) -> Doubtful | None:
    """What it takes to take the operation back; None for what does no harm when it was done."""
    match operation:
        case Deliver():
            return _doubtful_delivery(operation)
        case Append(mailbox_id=mailbox_id, items=items):
            return DoubtfulMessages(mailbox_id, [item.message_id for item in items])
        case Copy(mailbox_id=mailbox_id, message_ids=[_, *_] as message_ids, move=False):
            return DoubtfulMessages(mailbox_id, message_ids)
    return None


def withdrawing(doubts: Sequence[Doubtful]) -> Withdraw:
    """The operation that takes all of these back."""
    return Withdraw(
        [one for one in doubts if isinstance(one, DoubtfulDelivery)],
        [one for one in doubts if isinstance(one, DoubtfulMessages)],
        [one for one in doubts if isinstance(one, DoubtfulCopy)],
    )


def _doubtful_delivery(operation: Deliver) -> DoubtfulDelivery:
    return DoubtfulDelivery(operation.story.story_id, sorted({one.mailbox_id for one in operation.local}))


def _take_back(batch: Batch, delivery: DoubtfulDelivery) -> None:
    story_id, since = delivery.story_id, delivery.story_id - CLOCKS_DIFFER
    _remove_all(batch, Message.objects.filter(pk__gt=since, story_id=story_id, mailbox_id__in=delivery.mailbox_ids))
    _take_back_queued(batch, list(QueuedMessage.objects.filter(pk__gt=since, story_id=story_id)))
    IncomingReport.objects.filter(pk__gt=since, story_id=story_id).delete()
    Story.objects.filter(pk=story_id).update(outcome=Story.Outcome.DEFERRED, reason=TOO_LATE)
    text = "it was filed too late for its client, who was told to come again"
    # Those that somebody has begun to send to are on their way.
    left = QueuedRecipient.objects.filter(message__gt=since, message__story_id=story_id).values("pk")
    StoryRecipient.objects.filter(story=story_id).exclude(pk__in=left).update(
        fate=StoryRecipient.Fate.DEFERRED, reason=TOO_LATE, text=text
    )
    insert_event(batch, story_id, EventFacts(WITHDRAWN, reason=TOO_LATE, text=text))


def _take_back_queued(batch: Batch, queued: Sequence[QueuedMessage]) -> None:
    """Removes the recipients that nobody has begun to send to; the others are on their way."""
    ids = [message.pk for message in queued]
    QueuedRecipient.objects.filter(message__in=ids, attempt_count=0).delete()
    QueuedMessage.objects.filter(pk__in=ids, recipients=None).delete()
    SETTLED_MESSAGE.run(batch.cursor, [(batch.now_value, message_id) for message_id in ids])


def _take_back_messages(batch: Batch, doubt: DoubtfulMessages) -> None:
    for some in slices(doubt.message_ids):
        _remove_all(batch, Message.objects.filter(pk__in=some, mailbox_id=doubt.mailbox_id))


def _take_back_appended(batch: Batch, op: Append, answer: AppendAnswer) -> None:
    _remove(batch, op.folder_id, answer.uids)


def _take_back_copies(batch: Batch, op: Copy, answer: CopyAnswer) -> None:
    # A slice of a larger copy is given up with it (mailsuite.store.copies).
    if not op.move and not op.copy_id:
        _remove(batch, op.target_id, [there for _, there in answer.pairs])


def _take_back_lease(batch: Batch, op: LeaseMaildrop, answer: LeaseAnswer) -> None:
    """Or the mailbox would be locked for nobody."""
    if not op.renew:
        maildrop.end(op.mailbox_id, op.token)


def _remove_all(batch: Batch, rows: QuerySet[Message]) -> None:
    """Removes the rows, wherever somebody moved them meanwhile."""
    for folder_id in sorted(set(rows.values_list("folder_id", flat=True))):
        _remove(batch, folder_id, list(rows.filter(folder_id=folder_id).values_list("uid", flat=True)))


def _remove(batch: Batch, folder_id: int, uids: Sequence[int]) -> None:
    if folder := batch.folders.get(folder_id):
        messages.remove(batch, folder, batch.messages(folder_id, uids, "id, uid, flags, size_octets"))


_UNDO: dict[type[Any], Callable[[Batch, Any, Any], None]] = {
    Deliver: lambda batch, op, _: _take_back(batch, _doubtful_delivery(op)),
    Append: _take_back_appended,
    Copy: _take_back_copies,
    EndCopy: lambda batch, op, _: copies.reopen(batch, op),
    LeaseMaildrop: _take_back_lease,
}
