"""Runs the jobs of all apps, each when it is due.

Each lane is a thread in which the jobs of one kind run one after the other. So a short one, such as an alarm, never
waits behind a long one, a DNS server that is silent, or a stranger's report.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections

from mailsuite.jobs import journal
from mailsuite.jobs.job import Job, Lane
from mailsuite.jobs.journal import Journal, Outcome
from mailsuite.server.pulse import WatchedPool

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
# Whoever stops this host waits no longer for a job: it may be asking a resolver that is dead, and works in short
# transactions.
STOP_SECONDS = 3.0
# Then something is wrong with it, and the service is started again.
LONGEST_JOB_SECONDS = 3600.0
# A job is first due after its period, so that restarts cost nothing, but no later than this: there are hosts that never
# run for a day.
FIRST_WITHIN = timedelta(hours=1)


class Schedule:
    """Runs jobs that are due, and keeps what came of them."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._journal = Journal()
        write = Job("jobs", "jobs whose last run is noted", journal.EVERY, lambda _: self._journal.write())
        self._jobs = (*jobs, write)

    async def run(self, ended: asyncio.Event) -> None:
        """Until `ended` is set; jobs under way are finished if that takes no longer than STOP_SECONDS."""
        async with asyncio.TaskGroup() as lanes:
            for lane in Lane:
                jobs = [job for job in self._jobs if job.lane is lane]
                lanes.create_task(_run_lane(jobs, self._journal, ended))


async def _run_lane(jobs: Sequence[Job], kept: Journal, ended: asyncio.Event) -> None:
    thread = WatchedPool(1, "jobs", limit_seconds=LONGEST_JOB_SECONDS)
    loop = asyncio.get_running_loop()
    # By a clock that nobody sets.
    due = {job.name: loop.time() + min(job.every, FIRST_WITHIN).total_seconds() for job in jobs}
    try:
        while not ended.is_set():
            for job in jobs:
                if due[job.name] <= loop.time() and not ended.is_set():
                    due[job.name] = loop.time() + job.every.total_seconds()
                    thread.name = f"job {job.name}"  # what the health page says when it stands still
                    await _finished(loop.run_in_executor(thread, run_job, job, kept), job, ended)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await ended.wait()
            except TimeoutError:
                continue
    finally:
        thread.shutdown(wait=False)


async def _finished(running: asyncio.Future[Outcome], job: Job, ended: asyncio.Event) -> None:
    ending = asyncio.ensure_future(ended.wait())
    either: set[asyncio.Future[Any]] = {running, ending}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not running.done():
        await asyncio.wait({running}, timeout=STOP_SECONDS)
    if not running.done():
        logger.warning("Not waited for: %s", job.name)


def run_job(job: Job, kept: Journal) -> Outcome:
    """Runs one job now, with a database connection for it alone, and notes what came of it; one that fails stops no
    other."""
    started_at, began = datetime.now(UTC), time.monotonic()
    done, error = None, ""
    try:
        done = job.run(started_at)
    except Exception as failure:
        logger.exception("The job %s failed", job.name)
        error = f"{type(failure).__name__}: {failure}"
    finally:
        connections.close_all()
    outcome = Outcome(started_at, time.monotonic() - began, done, error)
    kept.note(job, outcome)
    if done:
        logger.info("%s: %d %s", job.name, done, job.does)
    return outcome
