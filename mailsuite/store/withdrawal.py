"""Taking back what was done after its asker had told the client that it was not.

A client that heard 451 or NO brings the same again: what was done the first time would be there twice. What does no
harm when it was done after all (flags, an expunge, a folder) stays.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import QuerySet

from mailsuite.database.sql import slices
from mailsuite.ids import COUNTER_BITS
from mailsuite.store import copies, expunging, hooks, maildrop
from mailsuite.store.locked import locked
from mailsuite.store.models import Message
from mailsuite.store.operations import (
    Append,
    AppendAnswer,
    Copy,
    CopyAnswer,
    Deliver,
    EndCopy,
    LeaseAnswer,
    LeaseMaildrop,
    ReopenCopy,
    WithdrawDelivery,
    WithdrawMessages,
)
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.telling import insert_event
from mailsuite.writer.batch import Batch

WITHDRAWN, TOO_LATE = "withdrawn", "too-late"
# Rows of a delivery have later ids than its story, but for clocks that were set meanwhile.
CLOCKS_DIFFER = int(timedelta(minutes=5).total_seconds() * 1000) << COUNTER_BITS


def withdraw_delivery(batch: Batch, op: WithdrawDelivery) -> None:
    """Takes the delivery back, if it was done."""
    if Story.objects.filter(pk=op.story_id, outcome=Story.Outcome.ACCEPTED).exists():
        _take_back(batch, op)


def undo_delivery(batch: Batch, op: Deliver, _answer: None) -> None:
    _take_back(batch, op.withdrawal())


def withdraw_messages(batch: Batch, op: WithdrawMessages) -> None:
    """Removes those of the rows that were made."""
    for some in slices(op.message_ids):
        _remove_all(batch, Message.objects.filter(pk__in=some, mailbox_id=op.mailbox_id))


def reopen_copy(batch: Batch, op: ReopenCopy) -> None:
    copies.reopen(batch, op)


def undo_end_of_copy(batch: Batch, op: EndCopy, _answer: None) -> None:
    copies.reopen(batch, op)


def _take_back(batch: Batch, op: WithdrawDelivery) -> None:
    story_id, since = op.story_id, op.story_id - CLOCKS_DIFFER
    _remove_all(batch, Message.objects.filter(pk__gt=since, story_id=story_id, mailbox_id__in=op.delivered_to))
    left = [row_id for take_back in hooks.TAKE_BACK for row_id in take_back(batch, story_id, since)]
    Story.objects.filter(pk=story_id).update(outcome=Story.Outcome.DEFERRED, reason=TOO_LATE)
    text = "it was filed too late for its client, who was told to come again"
    StoryRecipient.objects.filter(story=story_id).exclude(pk__in=left).update(
        fate=StoryRecipient.Fate.DEFERRED, reason=TOO_LATE, text=text
    )
    insert_event(batch, story_id, EventFacts(WITHDRAWN, reason=TOO_LATE, text=text))


def undo_append(batch: Batch, op: Append, answer: AppendAnswer) -> None:
    _remove(batch, op.folder_id, answer.uids)


def undo_copy(batch: Batch, op: Copy, answer: CopyAnswer) -> None:
    # A slice of a larger copy is given up with it (mailsuite.store.copies).
    if not op.move and not op.copy_id:
        _remove(batch, op.target_id, [there for _, there in answer.pairs])


def undo_lease(batch: Batch, op: LeaseMaildrop, answer: LeaseAnswer) -> None:
    """Or the mailbox would be locked for nobody."""
    if not op.renew:
        maildrop.end(op.mailbox_id, op.token)


def _remove_all(batch: Batch, rows: QuerySet[Message]) -> None:
    """Removes the rows, wherever somebody moved them meanwhile."""
    for folder_id in sorted(set(rows.values_list("folder_id", flat=True))):
        _remove(batch, folder_id, list(rows.filter(folder_id=folder_id).values_list("uid", flat=True)))


def _remove(batch: Batch, folder_id: int, uids: Sequence[int]) -> None:
    if folder := locked(batch).folders.get(folder_id):
        expunging.remove(batch, folder, locked(batch).messages(folder_id, uids, expunging.REMOVED))
