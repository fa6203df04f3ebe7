"""Recipients whose next try lies further ahead than any pause: a clock that was ahead wrote it. They fall due now.

A lease counts as one of its worker's until the worker had time to renew it, which writes its end anew: to end it sooner
would deliver twice.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from mailsuite.database.stored_time import SKEW
from mailsuite.ids import first_id, moment_of
from mailsuite.queue.models import QueuedRecipient
from mailsuite.trace.models import Story
from mailsuite.writer.batch import database_clock

logger = logging.getLogger(__name__)

# A pause of the schedule is drawn a little longer at times.
JITTER = 1.25
# More than a lease lasts, and than its worker leaves it unrenewed.
LONGEST_LEASE, UNRENEWED = timedelta(hours=1), timedelta(minutes=10)


class FallDue:
    """For the periodic work; what it saw of leases is remembered from one run to the next."""

    def __init__(self) -> None:
        self._leases: dict[tuple[int, datetime], datetime] = {}
        self._told = False

    def __call__(self, _: datetime) -> int:
        """Makes them due; returns how many."""
        now = database_clock()
        self._tell(now)
        longest = max(*settings.MAILSUITE.retry_schedule, LONGEST_LEASE) * JITTER
        ahead = QueuedRecipient.objects.filter(settled_at=None, next_attempt_at__gt=now + longest + SKEW)
        found = ahead.filter(claim_token="").update(next_attempt_at=now) + self._end_leases(ahead, now)
        if found:
            logger.warning(
                "%d recipients were to be tried more than %s from now: a clock was ahead, and they are tried now",
                *(found, longest),
            )
        return found

    def _tell(self, now: datetime) -> None:
        """Says once that the clock was ahead: ids are made of the time, so the newest tells how far."""
        newest = Story.objects.order_by("-pk").values_list("pk", flat=True).first()
        if newest is None or newest < first_id(now + SKEW):
            self._told = False
        elif not self._told:
            self._told = True
            logger.warning(
                "The newest message is of %s, and it is %s: a clock was ahead. What it put off further than is ever"
                " meant (tries, leases, locks, bans, reports, looks) is passed over.",
                *(moment_of(newest).isoformat(" ", "minutes"), now.isoformat(" ", "minutes")),
            )

    def _end_leases(self, ahead: QuerySet[QueuedRecipient], now: datetime) -> int:
        leases = ahead.exclude(claim_token="").values_list("pk", "next_attempt_at")
        self._leases = {(pk, end): self._leases.get((pk, end), now) for pk, end in leases if end}
        dead = [pk for (pk, _), seen in self._leases.items() if now - seen >= UNRENEWED]
        return ahead.filter(pk__in=dead).update(next_attempt_at=now)
