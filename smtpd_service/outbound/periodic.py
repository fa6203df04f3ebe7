"""Work that comes round: a table of jobs, each run now and then.

Each job has a lane: a thread in which the jobs of one kind run one after the other. So a short one, such as an alarm,
never waits behind a long one, a DNS server that is silent, or a stranger's report.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any

from django.db import connections

from mailsuite.abuse import account_mail, alarms, host_alarms, sending, sending_alarms
from mailsuite.abuse.services import forget_old as forget_old_bans
from mailsuite.directory import account_events, history, login_log, sessions, throttle
from mailsuite.junk import contacts, kept, training
from mailsuite.queue import giving
from mailsuite.queue.overdue import FallDue
from mailsuite.queue.retention import forget_settled, forget_stories
from mailsuite.records.alarms import tell_of_drift
from mailsuite.records.checking import check_due
from mailsuite.records.observing import forget_observations
from mailsuite.records.report_addresses import names_address
from mailsuite.records.rotation import advance_keys
from mailsuite.reports.names import look_up_names
from mailsuite.reports.preparing import prepare as prepare_reports
from mailsuite.reports.reading import read_waiting
from mailsuite.reports.retention import forget_old as forget_old_reports
from mailsuite.reports.sending import send_due as send_due_reports
from mailsuite.screening import greylist, rules
from mailsuite.screening import services as screening
from mailsuite.server.pulse import WatchedPool
from mailsuite.store.quota import warn_full_mailboxes
from mailsuite.store.removal import remove_marked
from mailsuite.store.sweep import sweep, sweep_if_pressed
from mailsuite.transport_security.known import forget_old as forget_policies
from mailsuite.transport_security.schedule import look_at_ourselves, refresh_policies

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


class Lane(Enum):
    """What a job may be made to wait for, and so keep others waiting."""

    PROMPT = "work of a moment, which people wait for"
    DNS = "other hosts, asked about our own domains, keys and lists"
    REPORTING = "other hosts, asked about those whom reports name or go to"
    READING = "reports that anybody may have written"
    CLEANING = "rows and files forgotten in slices, as many as there are"
    LEARNING = "messages read again"


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """`run` gets the time, works in short transactions, and returns how many things it did."""

    name: str
    every: timedelta
    run: Callable[[datetime], int]
    lane: Lane = Lane.PROMPT


JOBS = (
    PeriodicJob("owners warned of a full mailbox", timedelta(minutes=5), warn_full_mailboxes),
    PeriodicJob("mail to postmaster and abuse given to whoever reads it now", timedelta(minutes=1), giving.give),
    PeriodicJob("mail kept for removed domains dropped", timedelta(hours=1), giving.end_with_domain),
    PeriodicJob("recipients tried whose time a wrong clock had set", timedelta(minutes=1), FallDue()),
    PeriodicJob("settled queue rows forgotten", timedelta(hours=1), forget_settled, Lane.CLEANING),
    PeriodicJob("stories forgotten", timedelta(hours=1), forget_stories, Lane.CLEANING),
    PeriodicJob("removed mailboxes and domains deleted", timedelta(hours=1), remove_marked, Lane.CLEANING),
    PeriodicJob("old failures of logins forgotten", timedelta(hours=1), throttle.forget_old, Lane.CLEANING),
    PeriodicJob("old bans and offences forgotten", timedelta(hours=1), forget_old_bans, Lane.CLEANING),
    PeriodicJob("mails about mailboxes near or over their caps", timedelta(seconds=15), sending_alarms.warn),
    PeriodicJob("mails to owners about their accounts", timedelta(seconds=15), account_mail.tell),
    PeriodicJob("mails about the host itself", timedelta(minutes=10), host_alarms.tell_of_problems),
    PeriodicJob("alarms raised", timedelta(minutes=1), alarms.watch),
    PeriodicJob("old alarms forgotten", timedelta(hours=6), alarms.forget_old, Lane.CLEANING),
    PeriodicJob("old counts of what was sent forgotten", timedelta(hours=6), sending.forget_old, Lane.CLEANING),
    PeriodicJob("old logins forgotten", timedelta(hours=6), login_log.forget_old, Lane.CLEANING),
    PeriodicJob("old changes forgotten", timedelta(hours=6), history.forget_old, Lane.CLEANING),
    PeriodicJob("old events of accounts forgotten", timedelta(hours=6), account_events.forget_old, Lane.CLEANING),
    PeriodicJob("ended sessions of the web forgotten", timedelta(hours=6), sessions.forget_ended, Lane.CLEANING),
    PeriodicJob("domains whose DNS records were looked at", timedelta(minutes=1), check_due, Lane.DNS),
    PeriodicJob("DKIM keys moved on", timedelta(minutes=2), advance_keys),
    PeriodicJob("mails about DNS records that got worse", timedelta(minutes=5), tell_of_drift),
    PeriodicJob("old DNS observations forgotten", timedelta(days=1), forget_observations, Lane.CLEANING),
    PeriodicJob("reports read", timedelta(minutes=1), partial(read_waiting, names_address=names_address), Lane.READING),
    PeriodicJob("addresses in reports named", timedelta(hours=1), look_up_names, Lane.REPORTING),
    PeriodicJob("reports for others made", timedelta(minutes=20), prepare_reports, Lane.REPORTING),
    PeriodicJob("reports sent to others", timedelta(minutes=5), send_due_reports, Lane.REPORTING),
    PeriodicJob("rows of old reports forgotten", timedelta(hours=6), forget_old_reports, Lane.CLEANING),
    PeriodicJob("DNS lists switched off or on again", timedelta(hours=1), screening.test_lists, Lane.DNS),
    PeriodicJob("greylisted senders forgotten", timedelta(hours=1), greylist.forget_old, Lane.CLEANING),
    PeriodicJob("expired rules forgotten", timedelta(hours=6), rules.forget_expired, Lane.CLEANING),
    PeriodicJob("MTA-STS policies of others refreshed", timedelta(hours=1), refresh_policies, Lane.DNS),
    PeriodicJob("MTA-STS policies of others forgotten", timedelta(hours=6), forget_policies, Lane.CLEANING),
    PeriodicJob("changes of our TLSA records noticed", timedelta(hours=1), look_at_ourselves, Lane.DNS),
    PeriodicJob("words of owners on junk learned", timedelta(seconds=30), training.learn_waiting, Lane.LEARNING),
    PeriodicJob("submissions noted as contacts", timedelta(seconds=30), contacts.learn_submissions, Lane.LEARNING),
    PeriodicJob("messages kept by their readers", timedelta(hours=1), kept.learn_kept, Lane.LEARNING),
    PeriodicJob("sent Message-IDs forgotten", timedelta(hours=12), contacts.forget_unanswered, Lane.CLEANING),
    PeriodicJob("old lessons on junk forgotten", timedelta(hours=12), training.forget_old, Lane.CLEANING),
    PeriodicJob("unnamed blobs deleted", timedelta(hours=6), sweep, Lane.CLEANING),
    PeriodicJob("unnamed blobs deleted early for want of room", timedelta(minutes=5), sweep_if_pressed, Lane.CLEANING),
)


class Periodic:
    """Runs jobs that are due."""

    def __init__(self, jobs: Sequence[PeriodicJob] = JOBS) -> None:
        self._jobs = jobs

    async def run(self, ended: asyncio.Event) -> None:
        """Until `ended` is set; jobs under way are finished if that takes no longer than STOP_SECONDS."""
        async with asyncio.TaskGroup() as lanes:
            for lane in Lane:
                jobs = [job for job in self._jobs if job.lane is lane]
                lanes.create_task(_run_lane(jobs, ended))


async def _run_lane(jobs: Sequence[PeriodicJob], ended: asyncio.Event) -> None:
    thread = WatchedPool(1, "periodic", limit_seconds=LONGEST_JOB_SECONDS)
    loop = asyncio.get_running_loop()
    # By a clock that nobody sets.
    due = {job.name: loop.time() + min(job.every, FIRST_WITHIN).total_seconds() for job in jobs}
    try:
        while not ended.is_set():
            for job in jobs:
                if due[job.name] <= loop.time() and not ended.is_set():
                    due[job.name] = loop.time() + job.every.total_seconds()
                    await _finished(loop.run_in_executor(thread, run_job, job), job, ended)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await ended.wait()
            except TimeoutError:
                continue
    finally:
        thread.shutdown(wait=False)


async def _finished(running: asyncio.Future[int], job: PeriodicJob, ended: asyncio.Event) -> None:
    ending = asyncio.ensure_future(ended.wait())
    either: set[asyncio.Future[Any]] = {running, ending}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not running.done():
        await asyncio.wait({running}, timeout=STOP_SECONDS)
    if not running.done():
        logger.warning("Not waited for: %s", job.name)


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
