"""`manage.py jobs`: the work that comes round, when each was done last and what came of it."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from mailsuite.jobs.journal import Journal
from mailsuite.jobs.overview import Line, overview
from mailsuite.jobs.registry import all_jobs
from mailsuite.jobs.schedule import run_job

HEADINGS = ("JOB", "EVERY", "LAST RUN (UTC)", "TOOK", "RESULT")


class Command(BaseCommand):
    help = "Lists the work that comes round with its last run, how long it took and its error; or does one job now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--failed", action="store_true", help="only those whose last run failed")
        parser.add_argument("--run", metavar="JOB", help="do this one now, beside the schedule")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["run"]:
            self._run(options["run"])
        else:
            self._list(failed_only=options["failed"])

    def _list(self, *, failed_only: bool) -> None:
        lines = [line for line in overview() if not failed_only or (line.run and line.run.error)]
        if not lines:
            self.stdout.write("No job failed in its last run.")
            return
        table = [HEADINGS, *map(_columns, lines)]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
        for row in table:
            self.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip())

    def _run(self, name: str) -> None:
        job = next((job for job in all_jobs() if job.name == name), None)
        if job is None:
            raise CommandError(f"There is no job {name}: `manage.py jobs` lists them.")
        journal = Journal()
        outcome = run_job(job, journal)
        try:
            journal.write()
        except DatabaseError as error:
            raise CommandError(f"What came of it can't be written: {error}") from None
        if outcome.done is None:
            raise CommandError(f"{name} failed: {outcome.error}")
        self.stdout.write(f"{name}: {outcome.done} {job.does} in {outcome.seconds:.1f} s")


def _columns(line: Line) -> tuple[str, str, str, str, str]:
    every, run = spoken(line.job.every), line.run
    if run is None:
        return line.job.name, every, "not yet", "", ""
    result = f"{run.done} {line.job.does}" if run.done is not None else f"failed {run.failures} times: {run.error}"
    return line.job.name, every, f"{run.started_at:%Y-%m-%d %H:%M:%S}", f"{run.seconds:.1f} s", result


def spoken(period: timedelta) -> str:
    """`15 s`, `5 min`, `6 h`, `1 d`: the largest unit that goes into it without a rest."""
    seconds = int(period.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
