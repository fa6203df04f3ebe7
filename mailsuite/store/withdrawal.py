"""Taking back what was done after its asker had told the client that it was not.

A client that heard 451 or NO brings the same again: what was done the first time would be there twice. What does no
harm when it was done after all (flags, an expunge, a folder) stays.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from mailsuite.ids import COUNTER_BITS
from mailsuite.queue.models import QueuedMessage
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
    DoubtfulDelivery,
    EndCopy,
    EventFacts,
    LeaseAnswer,
    LeaseMaildrop,
    Withdraw,
)
from mailsuite.trace.models import Story

WITHDRAWN, TOO_LATE = "withdrawn", "too-late"
# Rows of a delivery have later ids than its story, but for clocks that were set meanwhile.
CLOCKS_DIFFER = int(timedelta(minutes=5).total_seconds() * 1000) << COUNTER_BITS


def withdraw(batch: Batch, op: Withdraw) -> None:
    """Takes back those of the deliveries that were done."""
    done = Story.objects.filter(
        pk__in=[delivery.story_id for delivery in op.deliveries], outcome=Story.Outcome.ACCEPTED
    )
    stories = set(done.values_list("pk", flat=True))
    for delivery in op.deliveries:
        if delivery.story_id in stories:
            _take_back(batch, delivery)


def is_undone(operation: Any) -> bool:
    """Whether an operation of this kind is taken back when it was done too late."""
    return type(operation) in _UNDO


def undo(batch: Batch, operation: Any, answer: Any) -> None:
    """Takes back what the operation did, whose mailboxes are locked."""
    _UNDO[type(operation)](batch, operation, answer)


def doubtful(operation: Deliver) -> DoubtfulDelivery:
    """What it takes to take the delivery back."""
    return DoubtfulDelivery(operation.story.story_id, sorted({one.mailbox_id for one in operation.local}))


def _take_back(batch: Batch, delivery: DoubtfulDelivery) -> None:
    story_id, since = delivery.story_id, delivery.story_id - CLOCKS_DIFFER
    rows = Message.objects.filter(pk__gt=since, story_id=story_id, mailbox_id__in=delivery.mailbox_ids)
    for folder_id in sorted(set(rows.values_list("folder_id", flat=True))):
        _remove(batch, folder_id, list(rows.filter(folder_id=folder_id).values_list("uid", flat=True)))
    # What somebody has begun to send on is on its way.
    queued = QueuedMessage.objects.filter(pk__gt=since, story_id=story_id)
    queued.exclude(recipients__attempt_count__gt=0).delete()
    IncomingReport.objects.filter(pk__gt=since, story_id=story_id).delete()
    Story.objects.filter(pk=story_id).update(outcome=Story.Outcome.DEFERRED, reason=TOO_LATE)
    text = "it was filed too late for its client, who was told to come again"
    insert_event(batch, story_id, EventFacts(WITHDRAWN, reason=TOO_LATE, text=text))


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


def _remove(batch: Batch, folder_id: int, uids: Sequence[int]) -> None:
    if folder := batch.folders.get(folder_id):
        messages.remove(batch, folder, batch.messages(folder_id, uids, "id, uid, flags, size_octets"))


_UNDO: dict[type[Any], Callable[[Batch, Any, Any], None]] = {
    Deliver: lambda batch, op, _: _take_back(batch, doubtful(op)),
    Append: _take_back_appended,
    Copy: _take_back_copies,
    EndCopy: lambda batch, op, _: copies.reopen(batch, op),
    LeaseMaildrop: _take_back_lease,
}
