"""Whether the DNS servers answer at all; when they don't, nobody waits for them in vain.

A single name that nobody answers about says little: its own servers may be gone. So when several questions in a row had
no answer, the root is asked for, which any resolver answers from memory. Only when that has no answer either are
questions answered at once as temporary errors, for a pause that grows; after each pause the root is asked again, and
its first answer ends it.
"""

import asyncio
from collections.abc import Awaitable, Callable

SUSPICIOUS = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0


class Breaker:
    """`probe` asks for the root and says whether any answer came; it raises nothing. Belongs to one event loop."""

    def __init__(self, probe: Callable[[], Awaitable[bool]]) -> None:
        self._probe = probe
        self._unanswered = 0
        self._pause = 0.0
        self._paused_until = 0.0
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether questions are not to be asked now. The first question after a pause starts the next probe."""
        if not self._pause:
            return False
        if asyncio.get_running_loop().time() >= self._paused_until:
            self._start_probe()
        return True

    def note(self, was_answered: bool) -> None:
        """Takes what became of a question; a refusal or an error of the server is an answer too."""
        if was_answered:
            self._unanswered = 0
            return
        self._unanswered += 1
        if self._unanswered >= SUSPICIOUS and not self._pause:
            self._start_probe()

    def _start_probe(self) -> None:
        if self._probing is None:
            self._probing = asyncio.create_task(self._run_probe())

    async def _run_probe(self) -> None:
        try:
            if await self._probe():
                self._unanswered, self._pause = 0, 0.0
            else:
                self._pause = min(max(FIRST_PAUSE_SECONDS, self._pause * 2), LONGEST_PAUSE_SECONDS)
                self._paused_until = asyncio.get_running_loop().time() + self._pause
        finally:
            self._probing = None
