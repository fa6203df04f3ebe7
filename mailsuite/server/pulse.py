"""Signs of life: a process says again and again that it works, or which of its thread pools stands still.

Whoever started it reads them from a pipe: an empty line for "all is well", a name for what stands still. A process
whose loop hangs says nothing any more.
"""

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from mailsuite.server.memory import trim

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
# Between two beats of those that give free memory to the system: it takes a millisecond or two.
TRIM_SECONDS = 60.0
# No task of a pool that serves clients takes so long.
POOL_SECONDS = 60.0
# How long the end of a process waits for what a pool is still doing.
END_SECONDS = 2.0

P = ParamSpec("P")
T = TypeVar("T")
_pools: "weakref.WeakSet[WatchedPool]" = weakref.WeakSet()


class WatchedPool(ThreadPoolExecutor):
    """A pool whose threads are watched: it stands still when each of them has been at one task for `limit_seconds`.

    Tasks that merely wait for their turn say nothing: a pool may be busy.
    """

    def __init__(self, threads: int, name: str, *, limit_seconds: float = POOL_SECONDS, **more: Any) -> None:
        super().__init__(threads, name, **more)
        self.name, self._threads_count, self._limit = name, threads, limit_seconds
        self._began: dict[int, float] = {}
        _pools.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ThreadPoolExecutor's; notes for `stands_still` when the task begins and ends."""
        return super().submit(self._timed, fn, *args, **kwargs)

    async def ask(self, fn: Callable[..., T], *args: Any, seconds: float) -> T:
        """What the function answers, from the running loop. Raises TimeoutError when it has no turn, or no answer, in
        so many seconds; if it has not begun it is dropped."""
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(self, fn, *args)

    def stands_still(self, now: float) -> bool:
        """`now` is of the monotonic clock."""
        began = list(self._began.values())
        return len(began) >= self._threads_count and now - max(began) > self._limit

    def drop(self, seconds: float = END_SECONDS) -> bool:
        """Drops what is not begun, and waits `seconds` at most for what is; returns whether all threads have ended."""
        self.shutdown(wait=False, cancel_futures=True)
        ends_at = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def dismiss(self, last: Callable[[], object]) -> None:
        """Ends the pool, which has nothing to do; each of its threads runs `last` first. Waits for nothing."""
        if count := len(self._threads):
            together = threading.Barrier(count)
            for _ in range(count):
                self.submit(_leave, together, last)
        self.shutdown(wait=False)

    def _timed(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        thread = threading.get_ident()
        self._began[thread] = time.monotonic()
        try:
            return fn(*args, **kwargs)
        finally:
            del self._began[thread]


def _leave(together: threading.Barrier, last: Callable[[], object]) -> None:
    """In each thread once: none takes a second turn while another has had none."""
    with suppress(threading.BrokenBarrierError):
        together.wait(END_SECONDS)
    last()


class Pulse:
    """This process's end of the pipe; None where nobody listens."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor, self._next, self._trim_at = descriptor, 0.0, 0.0

    def beat(self) -> None:
        """To be called at least every BEAT_SECONDS by what must not hang; costs nothing in between."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + BEAT_SECONDS / 2
        still = next((pool.name for pool in list(_pools) if pool.stands_still(now)), "")
        if still:
            logger.critical("the %s threads stand still", still)
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, f"{still}\n".encode())
            except (BlockingIOError, BrokenPipeError):  # nobody reads: it is stopped, or gone
                pass
        if now >= self._trim_at:
            self._trim_at = now + TRIM_SECONDS
            trim()

    def keep_beating(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beats from the loop as long as it runs, and has it watch the threads that it lends."""
        loop.set_default_executor(WatchedPool(min(32, (os.cpu_count() or 1) + 4), "file", limit_seconds=120.0))
        self._beat_again(loop)

    def _beat_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.beat()
        loop.call_later(BEAT_SECONDS, self._beat_again, loop)
