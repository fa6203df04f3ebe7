"""Alarms and mails about what goes wrong, and what is forgotten of it."""

from datetime import timedelta

from mailsuite.abuse import account_mail, alarms, host_alarms, sending, sending_alarms
from mailsuite.jobs.job import Job, Lane

JOBS = (
    Job(
        "sending-warnings", "mails about mailboxes near or over their caps", timedelta(seconds=15), sending_alarms.warn
    ),
    Job("account-mails", "mails to owners about their accounts", timedelta(seconds=15), account_mail.tell),
    Job("host-alarms", "mails about the host itself", timedelta(minutes=10), host_alarms.tell_of_problems),
    Job("alarms", "alarms raised", timedelta(minutes=1), alarms.watch),
    Job("alarm-retention", "old alarms forgotten", timedelta(hours=6), alarms.forget_old, Lane.CLEANING),
    Job(
        "sending-counts", "old counts of what was sent forgotten", timedelta(hours=6), sending.forget_old, Lane.CLEANING
    ),
)
