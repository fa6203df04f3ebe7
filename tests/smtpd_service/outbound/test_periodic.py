import asyncio
import threading
from datetime import datetime, timedelta

import pytest

from smtpd_service.outbound import periodic
from smtpd_service.outbound.periodic import JOBS, Lane, Periodic, PeriodicJob, run_job


def test_jobs_come_round_and_one_that_fails_stops_no_other(monkeypatch, caplog):
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
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

        jobs = [PeriodicJob("bad", timedelta(0), bad), PeriodicJob("good", timedelta(0), good)]
        await Periodic(jobs).run(ended)

    asyncio.run(run())
    assert len(ran) == 3
    assert "The periodic job failed: bad" in caplog.text


def test_nothing_is_due_before_its_time(monkeypatch):
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
    ran = []

    async def run():
        ended = asyncio.Event()
        work = asyncio.create_task(
            Periodic([PeriodicJob("later", timedelta(days=1), lambda now: ran.append(now) or 0)]).run(ended)
        )
        await asyncio.sleep(0.01)
        ended.set()
        await work

    asyncio.run(run())
    assert ran == []


@pytest.mark.parametrize("lane", [lane for lane in Lane if lane is not Lane.PROMPT])
def test_a_long_job_holds_up_no_prompt_one(monkeypatch, lane):
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
    asked, answered = threading.Event(), threading.Event()

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def ask(now):
            asked.set()
            return int(answered.wait(10))

        def count(now):
            if asked.is_set():
                answered.set()
                loop.call_soon_threadsafe(ended.set)
            return 0

        jobs = [PeriodicJob("ask", timedelta(0), ask, lane), PeriodicJob("count", timedelta(0), count)]
        async with asyncio.timeout(20):
            await Periodic(jobs).run(ended)

    asyncio.run(run())
    assert answered.is_set()


def test_what_is_rare_is_due_soon_after_a_start(monkeypatch):
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(periodic, "FIRST_WITHIN", timedelta(0))

    async def run():
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        job = PeriodicJob("daily", timedelta(days=1), lambda now: loop.call_soon_threadsafe(ended.set) and 0)
        async with asyncio.timeout(10):
            await Periodic([job]).run(ended)

    asyncio.run(run())


def test_a_clock_that_is_put_back_puts_no_work_off(monkeypatch):
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
    ran = []

    class PutBack(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=len(ran))

    monkeypatch.setattr(periodic, "datetime", PutBack)

    async def run():
        ended = asyncio.Event()
        job = PeriodicJob("often", timedelta(milliseconds=1), lambda now: ran.append(now) or 0)
        work = asyncio.create_task(Periodic([job]).run(ended))
        async with asyncio.timeout(10):
            while len(ran) < 3:  # noqa: ASYNC110 - a job sets no event of this loop
                await asyncio.sleep(0.001)
        ended.set()
        await work

    asyncio.run(run())
    assert len(ran) >= 3


def test_every_job_of_the_table_runs(transactional_db):
    for job in JOBS:
        assert run_job(job) == 0


def test_whoever_stops_the_service_waits_for_no_job_that_hangs(monkeypatch, caplog):
    """One that asks a dead resolver about a hundred domains, say."""
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(periodic, "STOP_SECONDS", 0.01)
    begun, answered = threading.Event(), threading.Event()

    def hangs(now):
        begun.set()
        answered.wait(60)
        return 0

    async def run():
        ended = asyncio.Event()
        work = asyncio.create_task(Periodic([PeriodicJob("asks", timedelta(0), hangs)]).run(ended))
        await asyncio.to_thread(begun.wait)
        ended.set()
        await work
        assert not answered.is_set()
        answered.set()

    asyncio.run(run())
    assert "Not waited for: asks" in caplog.text
