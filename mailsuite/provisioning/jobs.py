"""What is done again and again for what was removed."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.provisioning.deletion import remove_marked

JOBS = (
    Job("removed-mailboxes", "removed mailboxes and domains deleted", timedelta(hours=1), remove_marked, Lane.CLEANING),
)
