"""What people ask of a mailbox's memory of senders and words: how much there is, and to forget it."""

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from mailsuite.junk import filter as content_filter
from mailsuite.junk.models import Judgement, Lesson, Sender, WordTable
from mailsuite.junk.standing import History, of_rung
from mailsuite.junk.words import LEAST, Words

SENDERS_SHOWN = 100
LESSONS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Learned:
    """How many messages a mailbox's filter has learned from, and a sentence about what that makes of it."""

    wanted_count: int = 0
    junk_count: int = 0
    waiting: int = 0

    @property
    def speaks(self) -> bool:
        return min(self.wanted_count, self.junk_count) >= LEAST

    @property
    def text(self) -> str:
        return says(self.wanted_count, self.junk_count)


def says(wanted_count: int, junk_count: int, least: int = LEAST) -> str:
    """Return the sentence on a filter that has learned so much."""
    missing = [
        f"{least - count} more {what}"
        for count, what in ((wanted_count, "wanted"), (junk_count, "junk"))
        if count < least
    ]
    return f"neutral until it has seen {' and '.join(missing)}" if missing else "judges what comes"


def learned_by(mailbox_id: int) -> Learned:
    row = WordTable.objects.using("reader").filter(pk=mailbox_id).only("wanted_count", "junk_count").first()
    waiting = Judgement.objects.using("reader").filter(mailbox_id=mailbox_id).count()
    return Learned(row.wanted_count, row.junk_count, waiting) if row else Learned(waiting=waiting)


def senders_of(mailbox_id: int) -> Sequence[Sender]:
    """The addresses and domains that the mailbox knows, those it said something about last first."""
    shown = (Sender.Rung.FROM, Sender.Rung.DOMAIN)
    rows = Sender.objects.using("reader").filter(mailbox_id=mailbox_id, rung__in=shown)
    return list(rows.order_by("-changed_at", "-pk")[:SENDERS_SHOWN])


def standing_of(row: Sender) -> str:
    """What this row says by itself: wanted, unwanted or unknown."""
    if row.rung == Sender.Rung.REPLY:
        return "wanted"
    history = History(row.wanted, row.junked, row.kept, row.wrote_at, row.judged_at)
    found = of_rung((row.rung, row.key), history)
    return found.label if found else "unknown"


def forget_senders(ids: Collection[int], mailbox_id: int | None = None) -> int:
    """Forget these rows (of that mailbox alone, when given); what is said of them from now on counts anew."""
    rows = Sender.objects.filter(pk__in=ids)
    return (rows if mailbox_id is None else rows.filter(mailbox_id=mailbox_id)).delete()[0]


def forget_all_senders(mailbox_id: int) -> int:
    return Sender.objects.filter(mailbox_id=mailbox_id).delete()[0]


@transaction.atomic
def forget_words(mailbox_id: int) -> bool:
    """Forget what a mailbox's filter has learned, and take out of the site's what there are lessons of and was not
    halved there; False when there was nothing.

    What its owner says later of a message that was learned before is learned anew."""
    rows = WordTable.objects.select_for_update().filter(pk__in={WordTable.SITE, mailbox_id}).order_by("pk")
    tables = {row.pk: row for row in rows}
    # What waits was said before: it is forgotten too.
    waiting, _ = Judgement.objects.filter(mailbox_id=mailbox_id).delete()
    lessons = Lesson.objects.filter(mailbox_id=mailbox_id)
    if site := tables.get(WordTable.SITE):
        words = content_filter.decode(site)
        for lesson in lessons.iterator(LESSONS_AT_ONCE):
            take_back(words, lesson, lesson.site_halvings)
        save(site, words, datetime.now(UTC))
    lessons.delete()
    own = tables.get(mailbox_id)
    if own is None or mailbox_id == WordTable.SITE:
        return bool(waiting)
    # The row stays, or a version that was seen before would come again.
    save(own, Words(), datetime.now(UTC))
    return True


def take_back(words: Words, lesson: Lesson, halvings: int) -> None:
    """Undo in a filter what the lesson taught it; `halvings` are those that the lesson keeps of this filter."""
    buckets = array("H", bytes(lesson.buckets))
    if buckets:
        words.take_back(buckets, is_junk=lesson.word == Judgement.Word.JUNK, halvings=halvings)


def save(table: WordTable, words: Words, at: datetime) -> None:
    """Write a filter's counters into its row, which the caller has locked."""
    table.wanted_count, table.junk_count = words.wanted_count, words.junk_count
    table.wanted_halvings, table.junk_halvings = words.wanted_halvings, words.junk_halvings
    table.version, table.counts, table.changed_at = table.version + 1, words.encode(), at
    table.save()
