"""Weak evidence: mail that was read and then left where it is for days is hardly junk.

Each message is looked at once, when it has been there for KEPT_AFTER; three that were kept weigh as much as one that
the owner said is wanted (standing.py). The content filter learns nothing from it: silence must not teach words.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef

from mailsuite.ids import first_id
from mailsuite.junk.models import Lesson, Progress, Sender
from mailsuite.junk.training import sender_of
from mailsuite.store import flags
from mailsuite.store.models import Folder, Message

PROGRESS = "kept mail"
KEPT_AFTER = timedelta(days=3)
SLICE = 200
# Where people leave what they want; "" are the folders that they made themselves.
ROLES = (Folder.Role.INBOX, Folder.Role.ARCHIVE, Folder.Role.NONE)


def learn_kept(now: datetime) -> int:
    """Note what has been kept since the last time, in short transactions; returns how many messages. For the periodic
    work."""
    Progress.objects.get_or_create(name=PROGRESS)
    until = first_id(now - KEPT_AFTER)
    count = 0
    while (learned := _learn_slice(until, now)) is not None:
        count += learned
    return count


@transaction.atomic
def _learn_slice(until: int, now: datetime) -> int | None:
    """How many of the next messages were kept; None when all up to `until` were looked at."""
    # Whoever holds the row has come as far as it says: of two workers one waits, and none counts what the other did.
    progress = Progress.objects.select_for_update().get(name=PROGRESS)
    ids = list(
        Message.objects.filter(pk__gt=progress.last_id, pk__lte=until)
        .order_by("pk")
        .values_list("pk", flat=True)[:SLICE]
    )
    if not ids:
        return None
    judged = Lesson.objects.filter(mailbox_id=OuterRef("mailbox_id"), content_id=OuterRef("content_id"))
    kept = Message.objects.filter(pk__in=ids, folder__role__in=ROLES).exclude(story_id=None).exclude(Exists(judged))
    count = 0
    for mailbox_id, story_id, bits in kept.values_list("mailbox_id", "story_id", "flags"):
        if bits & flags.SEEN and not bits & flags.DELETED:
            _note(mailbox_id, story_id, now)
            count += 1
    progress.last_id = ids[-1]
    progress.save()
    return count


def _note(mailbox_id: int, story_id: int | None, now: datetime) -> None:
    for rung, key in sender_of(story_id):
        Sender.objects.get_or_create(mailbox_id=mailbox_id, rung=rung, key=key, defaults={"changed_at": now})
        row = Sender.objects.filter(mailbox_id=mailbox_id, rung=rung, key=key)
        row.update(kept=F("kept") + 1, changed_at=now)
