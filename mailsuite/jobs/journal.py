"""Keeps what came of jobs, one row for each. Rows are written now and then, all that there are in one transaction: a
commit for each run of each job would be most of what an idle host writes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from mailsuite.jobs.job import Job
from mailsuite.jobs.models import JobRun

EVERY = timedelta(seconds=30)
ERROR_CHARACTERS = JobRun._meta.get_field("error").max_length or 0
KEPT = ["started_at", "seconds", "done", "failures", "error"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `done` is what it counted, None when it failed of `error`."""

    started_at: datetime
    seconds: float
    done: int | None
    error: str = ""


class Journal:
    """What came of jobs since it was last written. Jobs of several threads note here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fresh: dict[str, Outcome] = {}
        self._failures: dict[str, int] = {}

    def note(self, job: Job, outcome: Outcome) -> None:
        """Keeps it until the next `write`."""
        with self._lock:
            self._fresh[job.name] = outcome
            self._failures[job.name] = self._failures.get(job.name, 0) + 1 if outcome.done is None else 0

    def write(self) -> int:
        """Writes what is new; returns of how many jobs. Raises DatabaseError; then it is tried again the next time."""
        with self._lock:
            fresh = dict(self._fresh)
            rows = [self._row(name, outcome) for name, outcome in fresh.items()]
        if rows:
            JobRun.objects.bulk_create(rows, update_conflicts=True, unique_fields=["name"], update_fields=KEPT)
        with self._lock:
            for name, outcome in fresh.items():
                if self._fresh[name] is outcome:
                    del self._fresh[name]
        return len(rows)

    def _row(self, name: str, outcome: Outcome) -> JobRun:
        return JobRun(
            name=name,
            started_at=outcome.started_at,
            seconds=outcome.seconds,
            done=outcome.done,
            failures=self._failures[name],
            error=outcome.error[:ERROR_CHARACTERS],
        )
