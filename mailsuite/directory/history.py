"""Who changed what: one history of a row, whatever they changed it by. The admin shows it, its own forms included.

It tells of administration and of what owners decide, not of mail: that is the trace.
"""

import getpass
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from mailsuite.directory.models import Change

KEPT = timedelta(days=730)
# Of one row by its owner's pages, an hour: who presses a button without end learns nothing more by it.
MOST_BY_OWNER = 60


def note(row: Model, what: str, by: str) -> None:
    """Writes down that somebody did something to the row, in the caller's transaction."""
    note_all([row], what, by)


def note_all(rows: Iterable[Model], what: str, by: str) -> None:
    """The same of several."""
    now = timezone.now()
    Change.objects.bulk_create([_change(row, what, by, now) for row in rows])


def note_by_owner(row: Model, what: str, by: str) -> None:
    """The same by somebody's own page, where only the first of many within an hour are kept."""
    lately = of(row).filter(by=by, at__gt=timezone.now() - timedelta(hours=1))
    if lately.count() < MOST_BY_OWNER:
        note(row, what, by)


def of(row: Model) -> QuerySet[Change]:
    """What was done to the row, the latest first. A removed one has the history that it had before."""
    return Change.objects.filter(model=_label(row), object_id=str(row.pk)).order_by("-pk")


def shell() -> str:
    """Who works in a shell, as the history names them."""
    try:
        # Who asked for the rights of another, where sudo tells it.
        return f"the shell ({os.environ.get('SUDO_USER') or getpass.getuser()})"
    except (KeyError, OSError):  # the system has no name for this user
        return f"the shell (user {os.getuid()})"


def forget_old(now: datetime) -> int:
    """Deletes what is older than KEPT; returns how many."""
    with transaction.atomic():
        return Change.objects.filter(at__lt=now - KEPT).delete()[0]


def _change(row: Model, what: str, by: str, at: datetime) -> Change:
    # One line, whatever somebody typed.
    words = " ".join(what.split())[:1000]
    return Change(at=at, by=by[:320], model=_label(row), object_id=str(row.pk), object_text=str(row)[:320], what=words)


def _label(row: Any) -> str:
    return str(row._meta.concrete_model._meta.label_lower)
