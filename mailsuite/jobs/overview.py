"""The jobs of all apps beside what came of each the last time, for the command, the admin and the metrics."""

from dataclasses import dataclass

from mailsuite.jobs.job import Job
from mailsuite.jobs.models import JobRun
from mailsuite.jobs.registry import all_jobs


@dataclass(frozen=True, slots=True)
class Line:
    """A job and its last run; None where it has not run yet, or not since it got this name."""

    job: Job
    run: JobRun | None


def overview() -> list[Line]:
    """All jobs in the order of their names, by one query on the reader alias."""
    runs = JobRun.objects.using("reader").in_bulk()
    return [Line(job, runs.get(job.name)) for job in sorted(all_jobs(), key=lambda job: job.name)]
