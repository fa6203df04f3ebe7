"""Delivery tests that run beside the pages that show them: started by one request, read by those that follow.

A request of ours has seconds, a test may take minutes: it runs in a thread of its own, and its stages are kept here, in
this process, for some minutes. Few run at once and not many an hour, since each makes this host knock at others' doors.
"""

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from smtpd_service.probe.stage import Stage, Tone

logger = logging.getLogger(__name__)

AT_ONCE = 2
AN_HOUR = 30
KEPT_SECONDS = 1800.0
HOUR_SECONDS = 3600.0

StartTest = Callable[[str], AsyncGenerator[Stage, None]]


class TooMany(Exception):
    """No test may start now; str() says why, for the person."""


class Run:
    """One test: `stages` grow until `is_done`."""

    def __init__(self, target: str, owner: int) -> None:
        self.id, self.target, self.owner = secrets.token_urlsafe(12), target, owner
        self.stages: list[Stage] = []
        self.is_done = False
        self.began = time.monotonic()
        self._changed = threading.Condition()

    def since(self, count: int, seconds: float) -> tuple[list[Stage], bool]:
        """The stages after the first `count`, and whether these are all; waits for news for so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.stages) > count or self.is_done, seconds)
            return self.stages[count:], self.is_done

    def add(self, stage: Stage) -> None:
        """One more stage; whoever waits for news is woken."""
        with self._changed:
            self.stages.append(stage)
            self._changed.notify_all()

    def end(self) -> None:
        """No stage follows; whoever waits for news is woken."""
        with self._changed:
            self.is_done = True
            self._changed.notify_all()


class Runs:
    """The tests of this process."""

    def __init__(self, *, at_once: int = AT_ONCE, an_hour: int = AN_HOUR) -> None:
        self._at_once, self._an_hour = at_once, an_hour
        self._runs: dict[str, Run] = {}
        self._started: deque[float] = deque()
        self._lock = threading.Lock()

    def start(self, target: str, owner: int, test: StartTest) -> Run:
        """Begins a test in a thread of its own. Raises TooMany."""
        with self._lock:
            now = time.monotonic()
            self._forget(now)
            if sum(not run.is_done for run in self._runs.values()) >= self._at_once:
                raise TooMany(f"{self._at_once} tests are running already. Wait until one of them has ended.")
            if len(self._started) >= self._an_hour:
                raise TooMany(f"There were {self._an_hour} tests within an hour. Wait a while.")
            run = Run(target, owner)
            self._runs[run.id] = run
            self._started.append(now)
        threading.Thread(target=_run, args=(run, test), name="delivery test", daemon=True).start()
        return run

    def find(self, run_id: str, owner: int) -> Run | None:
        """A test of this person's that is not forgotten yet."""
        run = self._runs.get(run_id)
        return run if run and run.owner == owner else None

    def _forget(self, now: float) -> None:
        while self._started and self._started[0] < now - HOUR_SECONDS:
            self._started.popleft()
        for run in [run for run in self._runs.values() if run.is_done and run.began < now - KEPT_SECONDS]:
            del self._runs[run.id]


def _run(run: Run, test: StartTest) -> None:
    try:
        asyncio.run(_gather(run, test))
    except Exception as error:
        logger.exception("The delivery test of %s failed", run.target)
        run.add(Stage("result", "Result", Tone.BAD, f"The test broke off by a fault of ours: {type(error).__name__}."))
    finally:
        run.end()


async def _gather(run: Run, test: StartTest) -> None:
    async with aclosing(test(run.target)) as stages:
        async for stage in stages:
            run.add(stage)


RUNS = Runs()
