"""What is done again and again for reports, of others and to others; smtpd_service.jobs reads those that come."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.reports.names import look_up_names
from mailsuite.reports.preparing import prepare
from mailsuite.reports.retention import forget_old
from mailsuite.reports.sending import send_due

JOBS = (
    Job("report-names", "addresses in reports named", timedelta(hours=1), look_up_names, Lane.REPORTING),
    Job("report-preparing", "reports for others made", timedelta(minutes=20), prepare, Lane.REPORTING),
    Job("report-sending", "reports sent to others", timedelta(minutes=5), send_due, Lane.REPORTING),
    Job("report-retention", "rows of old reports forgotten", timedelta(hours=6), forget_old, Lane.CLEANING),
)
