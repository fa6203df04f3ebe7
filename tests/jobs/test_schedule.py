"""Jobs come round, each in its lane, and what came of them is kept."""

import asyncio
import threading
import time
from datetime import datetime, timedelta

import pytest

from mailsuite.jobs import journal, schedule
from mailsuite.jobs.job import Job, Lane
from mailsuite.jobs.journal import Journal
from mailsuite.jobs.models import JobRun
from mailsuite.jobs.registry import all_jobs
from mailsuite.jobs.schedule import Schedule, run_job
from mailsuite.server import pulse


def test_jobs_come_round_and_one_that_fails_stops_no_other(monkeypatch, caplog):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    ran = []

    async def run():
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def good(now):
            ran.append(now)
            if len(ran) == 3:
                loop.call_soon_threadsafe(ended.set)
            return 1

        def bad(now):
            raise ValueError("no")

        jobs = [Job("bad", "things", timedelta(0), bad), Job("good", "things", timedelta(0), good)]
        await Schedule(jobs).run(ended)

    asyncio.run(run())
    assert len(ran) == 3
    assert "The job bad failed" in caplog.text


def test_nothing_is_due_before_its_time(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    ran = []

    async def run():
        ended = asyncio.Event()
        work = asyncio.create_task(
            Schedule([Job("later", "things", timedelta(days=1), lambda now: ran.append(now) or 0)]).run(ended)
        )
        await asyncio.sleep(0.01)
        ended.set()
        await work

    asyncio.run(run())
    assert ran == []


def test_a_long_job_holds_up_none_of_another_lane(monkeypatch):
    """Each lane's job ends only when those of all lanes are under way at once."""
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    together, met = threading.Barrier(len(Lane)), threading.Event()

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def meet(now):
            if not met.is_set():
                together.wait(60)
                met.set()
                loop.call_soon_threadsafe(ended.set)
            return 0

        await Schedule([Job(lane.name, "things", timedelta(0), meet, lane) for lane in Lane]).run(ended)

    asyncio.run(run())
    assert met.is_set() and not together.broken


def test_a_prompt_job_comes_round_again_and_again_while_a_long_one_is_at_work(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    order, begun, over = [], threading.Event(), threading.Event()

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def long(now):
            order.append("long begins")
            begun.set()
            over.wait(60)
            order.append("long ends")
            loop.call_soon_threadsafe(ended.set)
            return 0

        def prompt(now):
            if begun.is_set() and not over.is_set():
                order.append("prompt")
                if order.count("prompt") == 3:
                    over.set()
            return 0

        jobs = [Job("long", "things", timedelta(0), long, Lane.CLEANING), Job("prompt", "things", timedelta(0), prompt)]
        await Schedule(jobs).run(ended)

    asyncio.run(run())
    assert order[:5] == ["long begins", "prompt", "prompt", "prompt", "long ends"]


def test_what_is_rare_is_due_soon_after_a_start(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(schedule, "FIRST_WITHIN", timedelta(0))

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        job = Job("daily", "things", timedelta(days=1), lambda now: loop.call_soon_threadsafe(ended.set) and 0)
        async with asyncio.timeout(10):
            await Schedule([job]).run(ended)

    asyncio.run(run())


def test_a_clock_that_is_put_back_puts_no_work_off(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    ran = []

    class PutBack(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=len(ran))

    monkeypatch.setattr(schedule, "datetime", PutBack)

    async def run():
        ended = asyncio.Event()
        job = Job("often", "things", timedelta(milliseconds=1), lambda now: ran.append(now) or 0)
        work = asyncio.create_task(Schedule([job]).run(ended))
        async with asyncio.timeout(10):
            while len(ran) < 3:  # noqa: ASYNC110 - a job sets no event of this loop
                await asyncio.sleep(0.001)
        ended.set()
        await work

    asyncio.run(run())
    assert len(ran) >= 3


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_every_job_of_all_apps_runs(mail_folder):
    for job in all_jobs():
        assert run_job(job, Journal()).error == ""


def test_whoever_stops_the_service_waits_for_no_job_that_hangs(monkeypatch, caplog):
    """One that asks a dead resolver about a hundred domains, say."""
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(schedule, "STOP_SECONDS", 0.01)
    begun, answered = threading.Event(), threading.Event()

    def hangs(now):
        begun.set()
        answered.wait(60)
        return 0

    async def run():
        ended = asyncio.Event()
        work = asyncio.create_task(Schedule([Job("asks", "things", timedelta(0), hangs)]).run(ended))
        await asyncio.to_thread(begun.wait)
        ended.set()
        await work
        assert not answered.is_set()
        answered.set()

    asyncio.run(run())
    assert "Not waited for: asks" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_what_came_of_each_job_is_kept_in_a_row():
    kept, count = Journal(), iter([3, ValueError("no"), ValueError("never"), 0])

    def work(now):
        value = next(count)
        if isinstance(value, ValueError):
            raise value
        return value

    job = Job("work", "things", timedelta(hours=1), work)
    seen = []
    for _ in range(4):
        outcome = run_job(job, kept)
        assert kept.write() == 1
        run = JobRun.objects.get()
        assert (run.name, run.started_at, run.seconds) == ("work", outcome.started_at, outcome.seconds)
        seen.append((run.done, run.failures, run.error))
    assert seen == [(3, 0, ""), (None, 1, "ValueError: no"), (None, 2, "ValueError: never"), (0, 0, "")]
    assert kept.write() == 0


@pytest.mark.django_db(transaction=True)
def test_of_many_runs_between_two_writings_the_last_is_kept_and_failures_are_counted():
    kept = Journal()

    def fails(now):
        raise ValueError("x" * 1000)

    run_job(Job("good", "things", timedelta(0), lambda now: 2), kept)
    for _ in range(3):
        run_job(Job("bad", "things", timedelta(0), fails), kept)
    assert kept.write() == 2
    assert list(JobRun.objects.values_list("name", "done", "failures")) == [("bad", None, 3), ("good", 2, 0)]


@pytest.mark.django_db(transaction=True)
def test_the_schedule_writes_by_itself_what_came_of_its_jobs(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(journal, "EVERY", timedelta(0))

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def look(now):
            if JobRun.objects.filter(name="look").exists():
                loop.call_soon_threadsafe(ended.set)
            return 0

        await Schedule([Job("look", "things", timedelta(0), look)]).run(ended)

    asyncio.run(run())
    assert JobRun.objects.get(name="look").error == ""


def test_the_health_page_names_the_job_that_stands_still(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(schedule, "LONGEST_JOB_SECONDS", -1.0)
    named = []

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def slow(now):
            named.extend(pool.name for pool in pulse._pools if pool.stands_still(time.monotonic()))
            loop.call_soon_threadsafe(ended.set)
            return 0

        await Schedule([Job("slow", "things", timedelta(0), slow)]).run(ended)

    asyncio.run(run())
    assert "job slow" in named
