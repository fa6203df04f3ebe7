"""Weak evidence: mail that was read and then left where it is for days is hardly junk.

Each message is looked at once, when it has been there for KEPT_AFTER; three that were kept weigh as much as one that
the owner said is wanted (standing.py). Of words it teaches only what balances the filter: owners say what is junk, and
hardly ever what is not. It goes through the journal then, so that it is taken back when the owner thinks otherwise.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Exists, OuterRef

from mailsuite.ids import first_id
from mailsuite.junk import reputation
from mailsuite.junk.models import Judgement, Lesson, Progress, WordTable
from mailsuite.junk.training import sender_of
from mailsuite.store import flags
from mailsuite.store.models import Folder, Message

PROGRESS = "kept mail"
KEPT_AFTER = timedelta(days=3)
SLICE = 200
# A filter learns from kept mail until it knows so many wanted messages, and as many as junk.
ENOUGH = 50
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
    # An id that is to come was drawn by a clock that was ahead.
    progress.last_id = min(progress.last_id, first_id(now))
    ids = list(
        Message.objects.filter(pk__gt=progress.last_id, pk__lte=until)
        .order_by("pk")
        .values_list("pk", flat=True)[:SLICE]
    )
    if not ids:
        return None
    judged = Lesson.objects.filter(mailbox_id=OuterRef("mailbox_id"), content_id=OuterRef("content_id"))
    kept = Message.objects.filter(pk__in=ids, folder__role__in=ROLES).exclude(story_id=None).exclude(Exists(judged))
    rows = [row for row in kept.values_list("mailbox_id", "content_id", "story_id", "flags") if _is_kept(row[3])]
    wanting = _wanting({row[0] for row in rows})
    for mailbox_id, content_id, story_id, _ in rows:
        if wanting[mailbox_id] > 0:
            wanting[mailbox_id] -= 1
            word = Judgement.Word.KEPT
            Judgement.objects.create(mailbox_id=mailbox_id, content_id=content_id, story_id=story_id, word=word, at=now)
        else:
            reputation.note(mailbox_id, sender_of(story_id), Judgement.Word.KEPT, now)
    progress.last_id = ids[-1]
    progress.save()
    return len(rows)


def _is_kept(bits: int) -> bool:
    return bool(bits & flags.SEEN and not bits & flags.DELETED)


def _wanting(mailbox_ids: Collection[int]) -> dict[int, int]:
    """How many wanted messages the filter of each mailbox still lacks, beside those that wait to be learned."""
    lacks = dict.fromkeys(mailbox_ids, ENOUGH)
    known = WordTable.objects.filter(pk__in=mailbox_ids).values_list("pk", "wanted_count", "junk_count")
    lacks.update((mailbox_id, max(ENOUGH, junk) - wanted) for mailbox_id, wanted, junk in known)
    waiting = Judgement.objects.filter(mailbox__in=mailbox_ids, word=Judgement.Word.KEPT).order_by()
    for mailbox_id, count in waiting.values_list("mailbox_id").annotate(n=Count("pk")):
        lacks[mailbox_id] -= count
    return lacks
