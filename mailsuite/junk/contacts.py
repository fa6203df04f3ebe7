"""Whom the mailboxes wrote to, and what they sent: learned from the stories of submissions, some seconds later.

Reading is by ids, which ascend with time; the last minutes are read again each time, since a story's id is older than
its commit. All that is noted is a time, so reading twice changes nothing. A message to a crowd makes no contacts.

An answer may be here before its question was learned: whoever judges it asks `not_yet_learned` too, which looks for the
story itself. That was committed before the client was told that its mail is taken, so there is no moment between, and
submissions pay nothing for it.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from mailsuite.database.sql import Select, placeholders
from mailsuite.directory.models import Mailbox
from mailsuite.ids import COUNTER_BITS, new_id
from mailsuite.junk.models import Progress, Sender
from mailsuite.junk.signs import (
    FROM,
    KEY_CHARACTERS,
    REPLY,
    Rung,
    SenderSigns,
    address_rung_key,
    message_id_key,
    reply_rungs,
    sender_rungs,
)
from mailsuite.trace.models import Story

_SENT = Select(Story, "sender_mailbox", "at", "message_id", "data")
PROGRESS = "submissions"
READ_AGAIN = timedelta(minutes=10)
SLICE = 500
MOST_RECIPIENTS = 50
# So many of the messages that were just sent to one address, or with one Message-ID, are looked at.
MOST_LATELY = 20
# Answers come within months, not years; contacts stay as long as other senders do.
REPLIES_AWAITED = timedelta(days=365)


def learn_submissions(now: datetime) -> int:
    """Note the recipients and Message-IDs of what was sent since the last time; returns how many submissions were new.
    For the periodic work."""
    progress, _ = Progress.objects.get_or_create(name=PROGRESS)
    # An id that is to come was drawn by a clock that was ahead.
    before = min(progress.last_id, new_id())
    last, count = max(before - _ids_of(READ_AGAIN), 0), 0
    while stories := _submissions(last):
        last = stories[-1].pk
        _note_all(stories)
        count += sum(story.pk > before for story in stories)
        Progress.objects.filter(name=PROGRESS).exclude(last_id__range=(last, new_id())).update(last_id=last)
    return count


def not_yet_learned(mailbox_ids: Collection[int], signs: SenderSigns) -> Iterator[tuple[int, Rung, datetime]]:
    """Yield what `learn_submissions` would note of this sender if it ran now: mailbox, rung, and when it wrote."""
    asked = {rung for rung in (*reply_rungs(signs), *sender_rungs(signs)) if rung[0] in (REPLY, FROM)}
    if not asked or not mailbox_ids:
        return
    for mailbox_id, at, message_id, data in _sent_lately(sorted(mailbox_ids), asked, signs.replies_to):
        for rung in asked.intersection((*_contacts(data), *_message_ids(message_id))):
            yield mailbox_id, rung, at


def _sent_lately(
    mailbox_ids: Sequence[int], asked: Iterable[Rung], message_ids: Sequence[str]
) -> Sequence[Sequence[Any]]:
    """What the mailboxes sent since the learning came by, and is answered here or went to the author. By hand, since
    this is asked of all mail that comes: the ORM's three questions take four times as long."""
    authors = [key for name, key in asked if name == FROM] or [""]
    answered = message_ids or [""]
    condition = f"""id IN (
            SELECT id FROM (
                SELECT id FROM trace_story
                WHERE message_id IN ({placeholders(answered)}) AND NOT (message_id = '') ORDER BY id DESC LIMIT %s
            ) AS questions
            UNION SELECT story_id FROM (
                SELECT story_id FROM trace_event WHERE address_key = %s ORDER BY id DESC LIMIT %s
            ) AS sent
        ) AND sender_mailbox_id IN ({placeholders(mailbox_ids)}) AND kind = %s AND outcome = %s
            AND id > (SELECT COALESCE(MAX(last_id), 0) - %s FROM junk_progress WHERE name = %s)"""
    which = (Story.Kind.SUBMISSION.value, Story.Outcome.ACCEPTED.value, _ids_of(READ_AGAIN), PROGRESS)
    values = (*answered, MOST_LATELY, authors[0], MOST_LATELY, *mailbox_ids, *which)
    return _SENT.rows(condition, values)


def was_sent_here(message_id: str, domain: str, to: Collection[str]) -> bool:
    """Whether a user of the domain sent a message with that Message-ID to one of the domains `to`, or to one above or
    below it, as long as stories are kept. To others its Message-ID is known as well: whoever had a copy, or finds it
    quoted, could borrow it."""
    if not message_id:
        return False
    sent = Story.objects.using("reader").filter(kind=Story.Kind.SUBMISSION, outcome=Story.Outcome.ACCEPTED)
    # By what its author wrote, since a domain may have aliases.
    sent = sent.filter(message_id=message_id, from_text__icontains=f"@{domain}").order_by("-pk")
    contacts = (_contacts(data) for data in sent.values_list("data", flat=True)[:MOST_LATELY])
    reached = {key.rpartition("@")[2] for some in contacts for _, key in some}
    return any(_is_below(name, far) or _is_below(far, name) for name in reached for far in to)


def _is_below(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def forget_unanswered(now: datetime) -> int:
    """Delete Message-IDs sent so long ago that no answer is awaited; returns how many."""
    forgotten = 0
    old = Sender.objects.filter(rung=REPLY, changed_at__lt=now - REPLIES_AWAITED)
    while ids := list(old.values_list("pk", flat=True)[:SLICE]):
        forgotten += Sender.objects.filter(pk__in=ids).delete()[0]
    return forgotten


def _ids_of(time: timedelta) -> int:
    return int(time.total_seconds() * 1000) << COUNTER_BITS


def _submissions(after: int) -> Sequence[Story]:
    found = Story.objects.filter(pk__gt=after, kind=Story.Kind.SUBMISSION, outcome=Story.Outcome.ACCEPTED)
    fields = ("pk", "at", "sender_mailbox_id", "message_id", "data")
    return list(found.exclude(sender_mailbox=None).order_by("pk").only(*fields)[:SLICE])


def _note_all(stories: Iterable[Story]) -> None:
    """One insert for all; of what is there already the time alone moves on."""
    noted: dict[tuple[int, Rung], datetime] = {}
    for story in stories:
        for rung in (*_contacts(story.data), *_message_ids(story.message_id)):
            assert story.sender_mailbox_id is not None
            noted[story.sender_mailbox_id, rung] = story.at
    living = set(Mailbox.objects.filter(pk__in={one for one, _ in noted}).values_list("pk", flat=True))
    rows = [
        Sender(mailbox_id=mailbox_id, rung=rung, key=key, wrote_at=at, changed_at=at)
        for (mailbox_id, (rung, key)), at in sorted(noted.items())
        if mailbox_id in living
    ]
    with transaction.atomic():
        Sender.objects.bulk_create(
            rows,
            batch_size=SLICE,
            update_conflicts=True,
            unique_fields=["mailbox", "rung", "key"],
            update_fields=["wrote_at", "changed_at"],
        )


def _contacts(story_data: str) -> list[Rung]:
    try:
        data = json.loads(story_data)
    except ValueError:
        return []
    recipients = data.get("recipients") if isinstance(data, dict) else None
    if not isinstance(recipients, list) or len(recipients) > MOST_RECIPIENTS:
        return []
    keys = (address_rung_key(one) for one in recipients if isinstance(one, str))
    return [(FROM, key) for key in keys if key and len(key) <= KEY_CHARACTERS]


def _message_ids(message_id: str) -> list[Rung]:
    return [(REPLY, message_id_key(message_id))] if message_id else []
