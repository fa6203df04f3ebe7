"""Whose turn it is at something that only few can use at a time: mailboxes, or networks, take turns, whatever each of
them asks, and whoever comes for the first time does not wait for a crowd that comes again and again."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

# Of whom it is known when they had their last turn.
REMEMBERED = 10_000


class FairTurns:
    """`count` at a time. Who waits is served by key (whose it is), the one that was served longest ago first; within a
    key in the order of asking."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._served: OrderedDict[Hashable, int] = OrderedDict()  # when each had its last turn, while anybody waits
        self._now = 0

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Waits for a turn, which lasts as long as the block: let it be short."""
        await self._take(key)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, key: Hashable) -> None:
        if self._free:
            self._free -= 1
            self._note(key)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            key = min(self._waiting, key=lambda waiting: self._served.get(waiting, 0))
            future = self._waiting[key].popleft()
            if not self._waiting[key]:
                del self._waiting[key]
            if not future.done():
                self._note(key)
                future.set_result(None)
                return
        self._free += 1
        self._served.clear()

    def _note(self, key: Hashable) -> None:
        self._now += 1
        self._served[key] = self._now
        self._served.move_to_end(key)
        if len(self._served) > REMEMBERED:
            self._served.popitem(last=False)
