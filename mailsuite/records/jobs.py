"""What is done again and again about the DNS of our domains."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.records.alarms import tell_of_drift
from mailsuite.records.checking import check_due
from mailsuite.records.observing import forget_observations
from mailsuite.records.rotation import advance_keys

JOBS = (
    Job("dns-checks", "domains whose DNS records were looked at", timedelta(minutes=1), check_due, Lane.DNS),
    Job("dkim-keys", "DKIM keys moved on", timedelta(minutes=2), advance_keys),
    Job("dns-alarms", "mails about DNS records that got worse", timedelta(minutes=5), tell_of_drift),
    Job("dns-retention", "old DNS observations forgotten", timedelta(days=1), forget_observations, Lane.CLEANING),
)
