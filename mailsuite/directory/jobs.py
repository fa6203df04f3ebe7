"""What the directory does again and again."""

from datetime import timedelta

from mailsuite.directory import account_events, history
from mailsuite.jobs.job import Job, Lane

JOBS = (
    Job("history-retention", "old changes forgotten", timedelta(hours=6), history.forget_old, Lane.CLEANING),
    Job(
        "account-events",
        "old events of accounts forgotten",
        timedelta(hours=6),
        account_events.forget_old,
        Lane.CLEANING,
    ),
)
