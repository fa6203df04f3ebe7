"""What a process says of itself: that it works, or which of its pools stands still."""

import asyncio
import os
import threading
import time

import pytest

from mailsuite.server import pulse
from mailsuite.server.pulse import Pulse, WatchedPool


@pytest.fixture
def pool():
    made = WatchedPool(2, "login", limit_seconds=10.0)
    yield made
    made.shutdown()


@pytest.fixture
def pipe(monkeypatch):
    monkeypatch.setattr(pulse, "_pools", set())
    read, write = os.pipe2(os.O_NONBLOCK)
    yield read, write
    os.close(read)
    os.close(write)


def test_a_pool_stands_still_when_each_thread_has_been_at_one_task_for_too_long(pool):
    held, begun = threading.Event(), threading.Barrier(3)
    tasks = [pool.submit(lambda: (begun.wait(), held.wait())) for _ in range(2)]
    begun.wait()
    now = time.monotonic()
    assert (pool.stands_still(now), pool.stands_still(now + 11)) == (False, True)
    held.set()
    [task.result() for task in tasks]
    assert not pool.stands_still(now + 11)


def test_a_pool_with_a_free_thread_works(pool):
    held, begun = threading.Event(), threading.Barrier(2)
    pool.submit(lambda: (begun.wait(), held.wait()))
    begun.wait()
    assert not pool.stands_still(time.monotonic() + 1000)
    held.set()


def test_a_pool_that_is_dismissed_has_each_of_its_threads_do_one_last_thing():
    pool, last, begun = WatchedPool(3, "web"), [], threading.Barrier(3)
    for task in [pool.submit(begun.wait) for _ in range(3)]:
        task.result(10)
    threads = list(pool._threads)
    pool.dismiss(lambda: last.append(threading.current_thread()))
    for thread in threads:
        thread.join(10)
    assert len(threads) == 3 and set(last) == set(threads) and len(last) == 3


def test_a_pool_that_was_never_used_is_dismissed_too():
    WatchedPool(3, "web").dismiss(lambda: None)


def test_a_task_that_fails_is_over(pool):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 / 0).result()
    assert not pool.stands_still(time.monotonic() + 1000)


def test_a_beat_says_that_all_is_well_or_names_what_is_not(pipe, monkeypatch):
    read, write = pipe
    made = Pulse(write)
    made.beat()
    made.beat()
    assert os.read(read, 100) == b"\n"
    pool = WatchedPool(1, "search", limit_seconds=-1.0)
    pulse._pools.add(pool)
    held, begun = threading.Event(), threading.Barrier(2)
    pool.submit(lambda: (begun.wait(), held.wait()))
    begun.wait()
    made._next = 0.0
    made.beat()
    assert os.read(read, 100) == b"search\n"
    held.set()
    pool.shutdown()


def test_a_listener_that_does_not_read_or_is_gone_stops_nobody(pipe):
    read, write = pipe
    while True:
        try:
            os.write(write, b"x" * 4096)
        except BlockingIOError:
            break
    Pulse(write).beat()


def test_the_end_does_not_wait_for_what_hangs():
    pool, held = WatchedPool(1, "queue"), threading.Event()
    running = pool.submit(held.wait)
    assert not pool.drop(0.01) and not running.done()
    held.set()


def test_whoever_asks_waits_no_longer_than_it_wants_and_what_has_no_turn_is_not_done():
    pool, held, begun, done = WatchedPool(1, "directory"), threading.Event(), threading.Event(), []

    async def work():
        busy = asyncio.ensure_future(pool.ask(lambda: (begun.set(), held.wait()), seconds=60.0))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(TimeoutError):
            await pool.ask(done.append, 1, seconds=0.01)
        held.set()
        await busy
        return await pool.ask(lambda: "answer", seconds=60.0)

    assert asyncio.run(work()) == "answer"
    assert done == []
    pool.shutdown()


def test_free_memory_is_given_back_once_a_minute_however_often_it_beats(monkeypatch):
    trimmed = []
    monkeypatch.setattr(pulse, "trim", lambda: trimmed.append(clock[0]))
    clock = [1000.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: clock[0])
    living = Pulse()
    for _ in range(130):
        living.beat()
        clock[0] += 1.0
    assert len(trimmed) == 3 and trimmed[1] - trimmed[0] >= pulse.TRIM_SECONDS
