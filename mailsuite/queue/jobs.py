"""What the queue does again and again, beside delivery."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.queue import giving
from mailsuite.queue.overdue import FallDue
from mailsuite.queue.retention import forget_settled, forget_stories

JOBS = (
    Job(
        "kept-mail", "mails to postmaster and abuse given to whoever reads them now", timedelta(minutes=1), giving.give
    ),
    Job("kept-mail-of-removed", "mails kept for removed domains dropped", timedelta(hours=1), giving.end_with_domain),
    Job("queue-clock", "recipients tried whose time a wrong clock had set", timedelta(minutes=1), FallDue()),
    Job("queue-retention", "settled queue rows forgotten", timedelta(hours=1), forget_settled, Lane.CLEANING),
    Job("trace-retention", "stories forgotten", timedelta(hours=1), forget_stories, Lane.CLEANING),
)
