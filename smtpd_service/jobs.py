"""The job that takes two apps: reports are read by one, and the other knows whose addresses they name."""

from datetime import timedelta
from functools import partial

from mailsuite.jobs.job import Job, Lane
from mailsuite.records.report_addresses import names_address
from mailsuite.reports.reading import read_waiting

JOBS = (
    Job(
        "report-reading",
        "reports read",
        timedelta(minutes=1),
        partial(read_waiting, names_address=names_address),
        Lane.READING,
    ),
)
