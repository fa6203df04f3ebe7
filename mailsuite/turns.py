"""Whose turn it is at what only few can do at a time: Turns for steps in passes of an event loop, FairTurns for places.

Who waits is served by key (whose it is: a mailbox, a network), the one that was served longest ago first; within a key
in the order of asking. So whoever comes for the first time does not wait for a crowd that comes again and again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from mailsuite.bounded import Bounded

AT_ONCE = 4
# Of whom it is known when they had their last turn.
REMEMBERED = 10_000


class Turns:
    """The longer steps of one kind: AT_ONCE are done in one pass of an event loop, the rest in those that follow. What
    never waits by itself, such as a message whose verdict comes from memory, would hold up all other sessions when
    twenty of its kind end together and one after the other is worked on."""

    def __init__(self) -> None:
        self._taken = 0
        self._line = _Line()

    async def take(self, key: Hashable = None) -> None:
        """Return when the next step may be done."""
        if not self._taken:
            asyncio.get_running_loop().call_soon(self._next_pass)
        if self._taken < AT_ONCE:
            self._taken += 1
            self._line.note(key)
            return
        await self._line.join(key)

    def _next_pass(self) -> None:
        self._taken = 0
        while self._taken < AT_ONCE and self._line.call_next():
            self._taken += 1
        if self._taken:
            asyncio.get_running_loop().call_soon(self._next_pass)
        else:
            self._line.forget()


class FairTurns:
    """`count` at a time."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._line = _Line()

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, which lasts as long as the block: let it be short."""
        await self._take(key)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, key: Hashable) -> None:
        if self._free:
            self._free -= 1
            self._line.note(key)
            return
        called = self._line.join(key)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        if not self._line.call_next():
            self._free += 1
            self._line.forget()


class _Line:
    """Those who wait, and who was served when."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._served: Bounded[Hashable, int] = Bounded(REMEMBERED)
        self._now = 0

    def join(self, key: Hashable) -> "asyncio.Future[None]":
        """Return what is done when it is called."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(future)
        return future

    def call_next(self) -> bool:
        """Call whose turn it is; False when nobody waits any more."""
        while self._waiting:
            key = min(self._waiting, key=lambda waiting: self._served.get(waiting) or 0)
            future = self._waiting[key].popleft()
            if not self._waiting[key]:
                del self._waiting[key]
            if not future.done():
                self.note(key)
                future.set_result(None)
                return True
        return False

    def note(self, key: Hashable) -> None:
        """It has a turn now."""
        self._now += 1
        self._served.put(key, self._now)

    def forget(self) -> None:
        """Forget who was served: nobody waits."""
        self._served.clear()
