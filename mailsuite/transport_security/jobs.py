"""What is done again and again about MTA-STS policies and TLSA records."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.transport_security.known import forget_old
from mailsuite.transport_security.schedule import look_at_ourselves, refresh_policies

JOBS = (
    Job("mta-sts-refresh", "MTA-STS policies of others refreshed", timedelta(hours=1), refresh_policies, Lane.DNS),
    Job("mta-sts-retention", "MTA-STS policies of others forgotten", timedelta(hours=6), forget_old, Lane.CLEANING),
    Job("tlsa-changes", "changes of our TLSA records noticed", timedelta(hours=1), look_at_ourselves, Lane.DNS),
)
