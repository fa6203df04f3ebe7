"""Writing stories in a batch: the story, its events, and what became of each recipient.

A recipient's fate (StoryRecipient) is written with the story and moved on by what comes of deliveries. It is kept on a
row, so that a list of messages tells it, and finds messages by it, without reading their events.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from mailsuite.database.sql import Update, slices, timestamp
from mailsuite.ids import new_id
from mailsuite.mail.address import AddressError, address_key
from mailsuite.trace.models import StoryRecipient
from mailsuite.trace.operations import EventFacts, StoryFacts
from mailsuite.trace.rows import EventRow, StoryRecipientRow, StoryRow
from mailsuite.writer.batch import Batch
from mailsuite.writer.reading import Reading

# The kind of the event that a mailbox has the message.
FILED = "filed"
Fate = StoryRecipient.Fate
# What an event of a story that is just written means for the recipient that it names.
FIRST = {"refused": Fate.REFUSED, "dropped": Fate.DROPPED}
# What a delivery's result means.
OF_RESULTS = {
    "delivered": Fate.DELIVERED, "relayed": Fate.DELIVERED, "failed": Fate.BOUNCED, "queued": Fate.WAITING,
}  # fmt: skip
RESULT = Update(StoryRecipient, "fate", "reason", "text", "attempt_count")


def insert_recipient(
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


def filed_as(folder_role: str) -> str:
    """The fate of a recipient who has the message in a folder with that role."""
    return Fate.JUNK if folder_role == "junk" else Fate.DELIVERED


def insert_refused(batch: Batch, story_id: int, outcome: str, event: EventFacts) -> None:
    """One that an event says was not served, by the outcome of the story; other events say nothing of that."""
    if fate := FIRST.get(event.kind):
        fate = Fate.DEFERRED if outcome == Fate.DEFERRED and fate == Fate.REFUSED else fate
        insert_recipient(batch, story_id, event.address, event.domain_id, fate, event.reason, event.text)


def result(state: str, reason: str, text: str, attempt_count: int, row_id: int) -> tuple[Any, ...]:
    """For RESULT: what a delivery has made of it."""
    return str(OF_RESULTS[state]), reason, text, attempt_count, row_id


def move_on(row_ids: Collection[int], fate: str, reason: str = "", text: str = "") -> None:
    """Notes what somebody did about these."""
    for some in slices(list(row_ids)):
        StoryRecipient.objects.filter(pk__in=some).update(fate=fate, reason=reason, text=text)


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
            sender_key=search_key(story.reverse_path),
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
            insert_refused(batch, story.story_id, story.outcome, event)


def insert_event(batch: Batch, story_id: int, event: EventFacts) -> None:
    """One event of a story that is there, or is written by the same batch; its time is the batch's."""
    batch.insert(
        EventRow(
            id=new_id(),
            story_id=story_id,
            at=batch.now_value,
            kind=event.kind,
            address=event.address,
            address_key=search_key(event.address),
            domain_id=event.domain_id,
            mailbox_id=event.mailbox_id,
            reason=event.reason,
            text=event.text,
        )
    )


# The same mailboxes get mail again and again, and each message names one several times.
@lru_cache(maxsize=4096)
def search_key(address: str) -> str:
    """The address as it is searched for; what is none is kept as it came."""
    try:
        return address_key(address) if address else ""
    except AddressError:
        return address[:320]
