"""What the store does again and again."""

from datetime import timedelta

from mailsuite.jobs.job import Job, Lane
from mailsuite.store.sweep import sweep, sweep_if_pressed

JOBS = (
    Job("blob-sweep", "unnamed blobs deleted", timedelta(hours=6), sweep, Lane.CLEANING),
    Job(
        "blob-sweep-when-full",
        "unnamed blobs deleted early for want of room",
        timedelta(minutes=5),
        sweep_if_pressed,
        Lane.CLEANING,
    ),
)
