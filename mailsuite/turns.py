"""Taking turns: what never waits by itself, such as a message whose verdict comes from memory, holds up all other
sessions when twenty of its kind end together and one after the other is worked on."""

import asyncio
from collections import deque

AT_ONCE = 4


class Turns:
    """The longer steps of one kind: AT_ONCE are done in one pass of an event loop, the rest in those that follow, first
    come, first served."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return when the next step may be done."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            loop.call_soon(self._next_pass)
        if self._taken < AT_ONCE:
            self._taken += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_pass(self) -> None:
        self._taken = 0
        while self._waiting and self._taken < AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._taken += 1
        if self._taken:
            asyncio.get_running_loop().call_soon(self._next_pass)
