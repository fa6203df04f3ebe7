"""What mailboxes remember of a sender: one query answers all rungs of all mailboxes that a message goes to, and a few
more what they sent so lately that it is not remembered yet."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import F

from mailsuite.database.sql import Select, placeholders
from mailsuite.junk import contacts
from mailsuite.junk.models import Judgement, Sender
from mailsuite.junk.signs import Rung, SenderSigns, reply_rungs, sender_rungs
from mailsuite.junk.standing import History, decide
from mailsuite.verdict.facts import StandingFact

Word = Judgement.Word
_HISTORY = Select(Sender, "mailbox", "rung", "key", "wanted", "junked", "kept", "wrote_at", "judged_at")
_COLUMN = {Word.JUNK.value: "junked", Word.WANTED.value: "wanted", Word.KEPT.value: "kept"}


def standing(mailbox_id: int, signs: SenderSigns) -> StandingFact:
    """Return what the mailbox's history says of the sender."""
    return standings([mailbox_id], signs)[mailbox_id]


def standings(mailbox_ids: Collection[int], signs: SenderSigns) -> dict[int, StandingFact]:
    """Return what each mailbox's history says of the sender."""
    asked = {*reply_rungs(signs), *sender_rungs(signs)}
    remembered: dict[int, dict[Rung, History]] = {one: {} for one in mailbox_ids}
    for mailbox_id, rung, key, *told in _rows(mailbox_ids, asked):
        remembered[mailbox_id][rung, key] = History(*told)
    for mailbox_id, known_by, at in contacts.not_yet_learned(mailbox_ids, signs):
        history = remembered[mailbox_id].get(known_by, History())
        remembered[mailbox_id][known_by] = replace(history, wrote_at=max(history.wrote_at or at, at))
    return {one: decide(signs, histories) for one, histories in remembered.items()}


def _rows(mailbox_ids: Collection[int], asked: Collection[Rung]) -> Sequence[Sequence[Any]]:
    if not asked or not mailbox_ids:
        return ()
    rungs, keys = sorted({rung for rung, _ in asked}), sorted({key for _, key in asked})
    condition = (
        f"mailbox_id IN ({placeholders(mailbox_ids)})"  # type: ignore[arg-type]
        f" AND rung IN ({placeholders(rungs)}) AND key IN ({placeholders(keys)})"
    )
    return _HISTORY.rows(condition, (*mailbox_ids, *rungs, *keys))


def note(mailbox_id: int, rungs: Iterable[Rung], word: str, at: datetime, sign: int = 1) -> None:
    """Count what the owner said, or showed, for each rung (1), or take it back (-1)."""
    column = _COLUMN.get(word, "")
    for rung, key in rungs if column else ():
        row = Sender.objects.filter(mailbox_id=mailbox_id, rung=rung, key=key)
        if sign < 0:
            # Never below zero: the sender may have been forgotten meanwhile.
            row.filter(**{f"{column}__gt": 0}).update(**{column: F(column) - 1, "changed_at": at})
            continue
        Sender.objects.get_or_create(mailbox_id=mailbox_id, rung=rung, key=key, defaults={"changed_at": at})
        judged = {} if word == Word.KEPT else {"judged_at": at}
        row.update(**{column: F(column) + 1, "changed_at": at, **judged})
