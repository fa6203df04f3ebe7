"""Learns what owners said of their mail: reads the store's journal, teaches filter and reputation, deletes the journal.

Messages are read before any transaction begins. Then one transaction locks the filters (the site's, then the mailboxes'
by id), looks which journal rows are still there, learns these and deletes them: a crash loses and doubles nothing, and
of two workers the second finds the rows gone. A message counts by the last word on it alone: what it taught before is
taken back first, by the Lesson that was kept of it.
"""

import json
import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from mailsuite.authcheck.report import decode as decode_report
from mailsuite.directory.models import Mailbox
from mailsuite.junk import filter as content_filter
from mailsuite.junk import reputation
from mailsuite.junk.features import extract
from mailsuite.junk.models import Judgement, Lesson, Sender, WordTable
from mailsuite.junk.services import save, take_back
from mailsuite.junk.signs import Rung, sender_rungs, signs_of
from mailsuite.junk.text import BODY_OCTETS
from mailsuite.junk.words import Words, buckets_of
from mailsuite.mail.header import MAX_HEADER_OCTETS, Fields
from mailsuite.mail.parsed_header import Header
from mailsuite.store.models import Content
from mailsuite.trace.models import Story
from mailsuite.writer.storage import mail_storage

logger = logging.getLogger(__name__)

BATCH = 50
# After so long a change of mind teaches anew, without taking back.
LESSONS_KEPT = timedelta(days=400)
SENDERS_KEPT = timedelta(days=800)
SLICE = 1_000
Word = Judgement.Word


@dataclass(frozen=True, slots=True)
class Material:
    """What a message can teach: the filter's buckets, and the rungs of its sender."""

    buckets: "array[int]"
    rungs: tuple[Rung, ...]


def learn_waiting(now: datetime) -> int:
    """Learns all that waits in the journal, oldest first; returns how many words of owners. For the periodic work."""
    learned, last = 0, 0
    while rows := list(Judgement.objects.filter(pk__gt=last).order_by("pk")[:BATCH]):
        last = rows[-1].pk
        learned += learn(rows)
    return learned


def learn(rows: Sequence[Judgement]) -> int:
    """Learns these rows of the journal, those that nobody else has learned meanwhile; returns how many."""
    materials = {key: _material(*key) for key in {(row.content_id, row.story_id) for row in rows}}
    _make_tables({row.mailbox_id for row in rows}, rows[-1].at)
    with transaction.atomic():
        tables = _lock_tables({row.mailbox_id for row in rows})
        left = list(Judgement.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk"))
        words = {one: content_filter.decode(table) for one, table in tables.items()}
        changed: set[int] = set()
        for row in left:
            if row.mailbox_id in words and _learn_one(row, materials[row.content_id, row.story_id], words):
                changed |= {WordTable.SITE, row.mailbox_id}
        for one in sorted(changed):
            save(tables[one], words[one], left[-1].at)
        Judgement.objects.filter(pk__in=[row.pk for row in left]).delete()
    return len(left)


def _learn_one(row: Judgement, material: Material | None, words: dict[int, Words]) -> bool:
    """Whether a filter has changed."""
    lesson = Lesson.objects.filter(mailbox_id=row.mailbox_id, content_id=row.content_id).first()
    if (lesson.word if lesson else Word.NONE) == row.word or (lesson and row.word == Word.KEPT):
        return False
    own, site = words[row.mailbox_id], words[WordTable.SITE]
    if lesson is not None:
        buckets = array("H", bytes(lesson.buckets))
        rungs = _rungs(lesson.rungs)
        take_back(own, lesson, lesson.own_halvings)
        take_back(site, lesson, lesson.site_halvings)
        reputation.note(row.mailbox_id, rungs, lesson.word, row.at, -1)
        lesson.delete()
    elif material is not None:
        buckets, rungs = material.buckets, material.rungs
    else:  # the message is gone
        return False
    if row.word != Word.NONE:
        is_junk = row.word == Word.JUNK
        halvings = [one.learn(buckets, is_junk=is_junk) if buckets else 0 for one in (own, site)]
        reputation.note(row.mailbox_id, rungs, row.word, row.at)
        Lesson.objects.create(
            mailbox_id=row.mailbox_id,
            content_id=row.content_id,
            word=row.word,
            buckets=buckets.tobytes(),
            own_halvings=halvings[0],
            site_halvings=halvings[1],
            rungs=json.dumps(rungs),
            at=row.at,
        )
    return True


def _rungs(text: str) -> tuple[Rung, ...]:
    return tuple((str(name), str(key)) for name, key in json.loads(text))


def _make_tables(mailbox_ids: set[int], now: datetime) -> None:
    """Rows for the site's filter and those of the mailboxes that still exist."""
    known = set(WordTable.objects.filter(pk__in={WordTable.SITE, *mailbox_ids}).values_list("pk", flat=True))
    living = Mailbox.objects.filter(pk__in=mailbox_ids - known).values_list("pk", flat=True)
    fresh = [(one, one) for one in living] + ([] if WordTable.SITE in known else [(WordTable.SITE, None)])
    WordTable.objects.bulk_create(
        (WordTable(pk=one, mailbox_id=mailbox_id, changed_at=now) for one, mailbox_id in fresh), ignore_conflicts=True
    )


def _lock_tables(mailbox_ids: set[int]) -> dict[int, WordTable]:
    rows = WordTable.objects.select_for_update().filter(pk__in={WordTable.SITE, *mailbox_ids})
    return {row.pk: row for row in rows.order_by("pk")}


def _material(content_id: int, story_id: int | None) -> Material | None:
    """What the message can teach; None when it is gone."""
    content = Content.objects.filter(pk=content_id).only("blob", "header_octets").first()
    if content is None:
        return None
    try:
        with mail_storage().open(content.blob) as blob:
            header = Header.parse(blob.read(0, min(content.header_octets, MAX_HEADER_OCTETS)))
            body = blob.read(content.header_octets, content.header_octets + BODY_OCTETS)
    except OSError as error:
        logger.warning("message %d can't be read to learn from it: %s", content_id, error)
        return None
    try:
        return Material(buckets_of(extract(header, [body]).words), sender_of(story_id, header))
    except Exception:
        # One message that we can't read must not keep all others from being learned.
        logger.exception("message %d taught nothing", content_id)
        return None


def sender_of(story_id: int | None, fields: Fields | None = None) -> tuple[Rung, ...]:
    """The rungs of the sender by what was checked when the message came; none for mail that nobody checked."""
    story = Story.objects.filter(pk=story_id).first() if story_id else None
    if story is None:
        return ()
    try:
        data = json.loads(story.data)
    except ValueError:
        return ()
    report = decode_report(data.get("authentication")) if isinstance(data, dict) else None
    return sender_rungs(signs_of(report, fields or {})) if report else ()


def forget_old(now: datetime) -> int:
    """Deletes what was not touched for long; returns how many rows."""
    forgotten = 0
    for model, field, age in ((Lesson, "at", LESSONS_KEPT), (Sender, "changed_at", SENDERS_KEPT)):
        while ids := list(model.objects.filter(**{f"{field}__lt": now - age}).values_list("pk", flat=True)[:SLICE]):
            forgotten += model.objects.filter(pk__in=ids).delete()[0]
    return forgotten
