"""Whose turn it is at something that only few can use at a time: mailboxes take turns, whatever each of them asks."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`count` at a time. Who waits is served by mailbox, the one that was served longest ago first; within a mailbox in
    the order of asking."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}
        self._served: dict[int, int] = {}  # when each had its last turn, while anybody waits
        self._now = 0

    @asynccontextmanager
    async def turn(self, mailbox_id: int) -> AsyncIterator[None]:
        """Waits for a turn, which lasts as long as the block: let it be short."""
        await self._take(mailbox_id)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, mailbox_id: int) -> None:
        if self._free:
            self._free -= 1
            self._note(mailbox_id)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(mailbox_id, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            mailbox_id = min(self._waiting, key=lambda waiting: self._served.get(waiting, 0))
            future = self._waiting[mailbox_id].popleft()
            if not self._waiting[mailbox_id]:
                del self._waiting[mailbox_id]
            if not future.done():
                self._note(mailbox_id)
                future.set_result(None)
                return
        self._free += 1
        self._served.clear()

    def _note(self, mailbox_id: int) -> None:
        self._now += 1
        self._served[mailbox_id] = self._now
