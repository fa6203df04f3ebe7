"""A message that its owner takes out of Junk, or puts there: the recipient's fate follows, and the story tells it.

Other moves cost nothing.
"""

from collections.abc import Sequence

from mailsuite.store.locked import locked
from mailsuite.store.operations import Copy
from mailsuite.trace.models import Event, StoryRecipient
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.sentences import MOVED
from mailsuite.trace.telling import FILED, Fate, insert_event
from mailsuite.writer.batch import Batch

OWNER = "its owner"


def tell(batch: Batch, op: Copy, story_ids: Sequence[int], *, into_junk: bool) -> None:
    """Notes it for those of the stories by which the mailbox has the message where it was taken from. Their number is
    that of one operation's rows."""
    # By the event, since the mailbox may have another address by now.
    filed = Event.objects.filter(story__in=set(story_ids), mailbox=op.mailbox_id, kind=FILED)
    places = {(story, address): domain for story, address, domain in filed.values_list("story", "address", "domain")}
    before, after = (Fate.DELIVERED, Fate.JUNK) if into_junk else (Fate.JUNK, Fate.DELIVERED)
    rows = StoryRecipient.objects.filter(story__in={story for story, _ in places}, fate=before)
    found = {row: (story, address) for row, story, address in rows.values_list("pk", "story", "address")}
    found = {row: place for row, place in found.items() if place in places}
    who = op.by or OWNER
    text = f"{who} moved it {'there' if into_junk else 'out of Junk'}"
    StoryRecipient.objects.filter(pk__in=list(found)).update(fate=after, reason=MOVED, text=text)
    way = f"from {locked(batch).folders[op.folder_id].name} to {locked(batch).folders[op.target_id].name}, by {who}"
    for story, address in found.values():
        event = EventFacts("moved", address, MOVED, way, places[story, address], op.mailbox_id)
        insert_event(batch, story, event)
