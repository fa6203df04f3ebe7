"""What mail of our own is written about again and again."""

from datetime import timedelta

from mailsuite.jobs.job import Job
from mailsuite.pipeline.quota_warnings import warn_full_mailboxes

JOBS = (Job("quota-warnings", "owners warned of a full mailbox", timedelta(minutes=5), warn_full_mailboxes),)
