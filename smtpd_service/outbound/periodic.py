"""Work that comes round: a table of jobs, each run now and then.

Those that ask other hosts run one after the other in a thread of their own, so that a DNS server that is silent holds
up no alarm; all others in a second one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connections

from mailsuite.abuse import alarms, sending, sending_alarms
from mailsuite.abuse.services import forget_old as forget_old_bans
from mailsuite.directory import login_log, sessions, throttle
from mailsuite.junk import contacts, kept, training
from mailsuite.queue.retention import forget_settled, forget_stories
from mailsuite.records.alarms import tell_of_drift
from mailsuite.records.checking import check_due
from mailsuite.records.observing import forget_observations
from mailsuite.records.rotation import advance_keys
from mailsuite.reports.names import look_up_names
from mailsuite.reports.preparing import prepare as prepare_reports
from mailsuite.reports.reading import read_waiting
from mailsuite.reports.retention import forget_old as forget_old_reports
from mailsuite.reports.sending import send_due as send_due_reports
from mailsuite.screening import greylist, rules
from mailsuite.screening import services as screening
from mailsuite.store.quota import warn_full_mailboxes
from mailsuite.store.removal import remove_marked
from mailsuite.store.sweep import sweep
from mailsuite.transport_security.known import forget_old as forget_policies
from mailsuite.transport_security.schedule import look_at_ourselves, refresh_policies

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
# A job is first due after its period, so that restarts cost nothing, but no later than this: there are hosts that never
# run for a day.
FIRST_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """`run` gets the time, works in short transactions, and returns how many things it did. It may wait for other hosts
    if it `asks_others`."""

    name: str
    every: timedelta
    run: Callable[[datetime], int]
    asks_others: bool = False


JOBS = (
    PeriodicJob("owners warned of a full mailbox", timedelta(minutes=5), warn_full_mailboxes),
    PeriodicJob("settled queue rows forgotten", timedelta(hours=1), forget_settled),
    PeriodicJob("stories forgotten", timedelta(hours=1), forget_stories),
    PeriodicJob("removed mailboxes and domains deleted", timedelta(hours=1), remove_marked),
    PeriodicJob("old failures of logins forgotten", timedelta(hours=1), throttle.forget_old),
    PeriodicJob("old bans and offences forgotten", timedelta(hours=1), forget_old_bans),
    PeriodicJob("mails about mailboxes near or over their caps", timedelta(seconds=15), sending_alarms.warn),
    PeriodicJob("alarms raised", timedelta(minutes=1), alarms.watch),
    PeriodicJob("old alarms forgotten", timedelta(hours=6), alarms.forget_old),
    PeriodicJob("old counts of what was sent forgotten", timedelta(hours=6), sending.forget_old),
    PeriodicJob("old logins forgotten", timedelta(hours=6), login_log.forget_old),
    PeriodicJob("ended sessions of the web forgotten", timedelta(hours=6), sessions.forget_ended),
    PeriodicJob("domains whose DNS records were looked at", timedelta(minutes=1), check_due, asks_others=True),
    PeriodicJob("DKIM keys moved on", timedelta(minutes=2), advance_keys),
    PeriodicJob("mails about DNS records that got worse", timedelta(minutes=5), tell_of_drift),
    PeriodicJob("old DNS observations forgotten", timedelta(days=1), forget_observations),
    PeriodicJob("reports read", timedelta(minutes=1), read_waiting),
    PeriodicJob("addresses in reports named", timedelta(hours=1), look_up_names, asks_others=True),
    PeriodicJob("reports for others made", timedelta(minutes=20), prepare_reports, asks_others=True),
    PeriodicJob("reports sent to others", timedelta(minutes=5), send_due_reports, asks_others=True),
    PeriodicJob("rows of old reports forgotten", timedelta(hours=6), forget_old_reports),
    PeriodicJob("DNS lists switched off or on again", timedelta(hours=1), screening.test_lists, asks_others=True),
    PeriodicJob("greylisted senders forgotten", timedelta(hours=1), greylist.forget_old),
    PeriodicJob("expired rules forgotten", timedelta(hours=6), rules.forget_expired),
    PeriodicJob("MTA-STS policies of others refreshed", timedelta(hours=1), refresh_policies, asks_others=True),
    PeriodicJob("MTA-STS policies of others forgotten", timedelta(hours=6), forget_policies),
    PeriodicJob("changes of our TLSA records noticed", timedelta(hours=1), look_at_ourselves, asks_others=True),
    PeriodicJob("words of owners on junk learned", timedelta(seconds=30), training.learn_waiting),
    PeriodicJob("submissions noted as contacts", timedelta(seconds=30), contacts.learn_submissions),
    PeriodicJob("messages kept by their readers", timedelta(hours=1), kept.learn_kept),
    PeriodicJob("sent Message-IDs forgotten", timedelta(hours=12), contacts.forget_unanswered),
    PeriodicJob("old lessons on junk forgotten", timedelta(hours=12), training.forget_old),
    PeriodicJob("unnamed blobs deleted", timedelta(hours=6), sweep),
)


class Periodic:
    """Runs jobs that are due."""

    def __init__(self, jobs: Sequence[PeriodicJob] = JOBS) -> None:
        self._jobs = jobs

    async def run(self, ended: asyncio.Event) -> None:
        """Until `ended` is set; jobs under way are finished."""
        async with asyncio.TaskGroup() as lanes:
            for asks_others in (False, True):
                jobs = [job for job in self._jobs if job.asks_others is asks_others]
                lanes.create_task(_run_lane(jobs, ended))


async def _run_lane(jobs: Sequence[PeriodicJob], ended: asyncio.Event) -> None:
    thread = ThreadPoolExecutor(1, "periodic")
    loop = asyncio.get_running_loop()
    # By a clock that nobody sets.
    due = {job.name: loop.time() + min(job.every, FIRST_WITHIN).total_seconds() for job in jobs}
    try:
        while not ended.is_set():
            for job in jobs:
                if due[job.name] <= loop.time() and not ended.is_set():
                    due[job.name] = loop.time() + job.every.total_seconds()
                    await loop.run_in_executor(thread, run_job, job)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await ended.wait()
            except TimeoutError:
                continue
    finally:
        thread.shutdown(wait=False)


def run_job(job: PeriodicJob) -> int:
    """Runs one job now, with a database connection for it alone; a job that fails stops no other."""
    done = 0
    try:
        done = job.run(datetime.now(UTC))
    except Exception:
        logger.exception("The periodic job failed: %s", job.name)
    finally:
        connections.close_all()
    if done:
        logger.info("%d %s", done, job.name)
    return done
