"""What became of each recipient (trace.StoryRecipient): written with the story, moved on by what comes of deliveries.

It is kept on a row, so that a list of messages tells it, and finds messages by it, without reading their events.
"""

from collections.abc import Collection
from typing import Any

from mailsuite.ids import new_id
from mailsuite.store.batch import Batch
from mailsuite.store.operations import EventFacts, LocalDelivery
from mailsuite.store.sql import Update, slices
from mailsuite.trace.models import StoryRecipient
from mailsuite.trace.rows import StoryRecipientRow

Fate = StoryRecipient.Fate
# What an event of a story that is just written means for the recipient that it names.
FIRST = {"refused": Fate.REFUSED, "dropped": Fate.DROPPED}
# What a delivery's result means.
OF_RESULTS = {
    "delivered": Fate.DELIVERED, "relayed": Fate.DELIVERED, "failed": Fate.BOUNCED, "queued": Fate.WAITING,
}  # fmt: skip
RESULT = Update(StoryRecipient, "fate", "reason", "text", "attempt_count")


def insert(
    batch: Batch,
    story_id: int,
    address: str,
    domain_id: int | None,
    fate: str,
    reason: str = "",
    text: str = "",
    *,
    row_id: int = 0,
) -> None:
    """One recipient of a story; `row_id` is its QueuedRecipient's."""
    batch.insert(StoryRecipientRow(row_id or new_id(), story_id, address, domain_id, str(fate), reason, text))


def insert_local(batch: Batch, story_id: int, local: LocalDelivery, folder_role: str) -> None:
    """One that has the message in a folder with that role."""
    fate = Fate.JUNK if folder_role == "junk" else Fate.DELIVERED
    insert(batch, story_id, local.address, local.domain_id, fate, local.reason, local.why)


def insert_refused(batch: Batch, story_id: int, outcome: str, event: EventFacts) -> None:
    """One that an event says was not served, by the outcome of the story; other events say nothing of that."""
    if fate := FIRST.get(event.kind):
        fate = Fate.DEFERRED if outcome == Fate.DEFERRED and fate == Fate.REFUSED else fate
        insert(batch, story_id, event.address, event.domain_id, fate, event.reason, event.text)


def result(state: str, reason: str, text: str, attempt_count: int, row_id: int) -> tuple[Any, ...]:
    """For RESULT: what a delivery has made of it."""
    return str(OF_RESULTS[state]), reason, text, attempt_count, row_id


def move_on(row_ids: Collection[int], fate: str, reason: str = "", text: str = "") -> None:
    """Notes what somebody did about these."""
    for some in slices(list(row_ids)):
        StoryRecipient.objects.filter(pk__in=some).update(fate=fate, reason=reason, text=text)
