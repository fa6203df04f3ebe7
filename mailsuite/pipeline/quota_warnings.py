"""The warning that a mailbox is nearly full, filed before its sender learns it by a refusal."""

from datetime import datetime, timedelta

from django.db.models import F, QuerySet

from mailsuite.database.stored_time import lately
from mailsuite.pipeline.notices import file_notice, notice
from mailsuite.sizes import readable
from mailsuite.store.models import Usage
from mailsuite.store.operations import Deliver

WARN_PERCENT = 90
# Whoever has made this much room is warned anew the next time.
CALM_PERCENT = 80
AT_MOST_EVERY = timedelta(days=7)

TEXT = """\
Your mailbox {address} is {percent} % full: {used} of {quota}.

When it is full, new mail is refused and its senders are told so. Nothing that
is already there gets lost.

What to do: delete what you no longer need, large attachments first, and empty
the Trash folder; or ask whoever runs this mail host for more room.
"""


def warn_full_mailboxes(now: datetime) -> int:
    """Files one warning in each mailbox that has crossed the mark since its last; returns how many."""
    _limited().filter(used_octets__lt=F("mailbox__quota_octets") * CALM_PERCENT / 100).exclude(
        quota_warned_at=None
    ).update(quota_warned_at=None)
    due = _limited().filter(used_octets__gte=F("mailbox__quota_octets") * WARN_PERCENT / 100)
    due = due.exclude(lately("quota_warned_at", now, AT_MOST_EVERY))
    warned = 0
    for usage in due.select_related("mailbox"):
        # Marked first: a crash between the two costs a warning, never a stream of them.
        if Usage.objects.filter(pk=usage.pk, quota_warned_at=usage.quota_warned_at).update(quota_warned_at=now):
            warned += file_notice(_warning(usage, now))
    return warned


def _limited() -> QuerySet[Usage]:
    return Usage.objects.filter(mailbox__quota_octets__gt=0, mailbox__removed_at=None)


def _warning(usage: Usage, now: datetime) -> Deliver:
    mailbox = usage.mailbox
    percent = usage.used_octets * 100 // mailbox.quota_octets
    text = TEXT.format(
        address=mailbox.address,
        percent=percent,
        used=readable(usage.used_octets),
        quota=readable(mailbox.quota_octets),
    )
    return notice(mailbox, f"Your mailbox is {percent} % full", text, "quota", now)
