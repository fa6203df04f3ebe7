"""A message that its owner takes out of Junk, or puts there: the recipient's fate follows, and the story tells it.

Other moves cost nothing.
"""

from collections.abc import Sequence

from mailsuite.directory.models import Mailbox
from mailsuite.store.batch import Batch
from mailsuite.store.fates import Fate
from mailsuite.store.filing import insert_event
from mailsuite.store.operations import Copy, EventFacts
from mailsuite.trace.models import StoryRecipient
from mailsuite.trace.sentences import MOVED

OWNER = "its owner"


def tell(batch: Batch, op: Copy, story_ids: Sequence[int], *, into_junk: bool) -> None:
    """Notes it for those of the stories by which the mailbox has the message where it was taken from. Their number is
    that of one operation's rows."""
    mailbox = Mailbox.objects.filter(pk=op.mailbox_id).only("address", "domain_id").first()
    if mailbox is None or not story_ids:
        return
    before, after = (Fate.DELIVERED, Fate.JUNK) if into_junk else (Fate.JUNK, Fate.DELIVERED)
    rows = StoryRecipient.objects.filter(story__in=set(story_ids), address=mailbox.address, fate=before)
    found = dict(rows.values_list("pk", "story_id"))
    text = f"{op.by or OWNER} moved it {'there' if into_junk else 'out of Junk'}"
    StoryRecipient.objects.filter(pk__in=found).update(fate=after, reason=MOVED, text=text)
    way = f"{batch.folders[op.folder_id].name} to {batch.folders[op.target_id].name}"
    event = EventFacts(
        *("moved", mailbox.address, MOVED, f"from {way}, by {op.by or OWNER}", mailbox.domain_id, op.mailbox_id)
    )
    for story_id in found.values():
        insert_event(batch, story_id, event)
