"""The store without its service: operations are run by a thread of this process, for tests that need no other."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections

from mailsuite.writer.run import execute


class StoreHere:
    """What services have for a StoreClient."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._done = threading.Condition()

    async def run(self, operation: Any) -> Any:
        """The operation's answer, or what it raised."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._execute, operation)

    def send(self, operation: Any) -> None:
        """Has it done; nobody hears how."""
        self._thread.submit(self._execute, operation)

    def withdraw(self, withdrawal: Any) -> None:
        self.send(withdrawal)

    async def watch(self, on_hint: Callable[[Any], None]) -> None:
        """Nobody is told: sessions look for themselves."""

    async def close(self) -> None:
        self._thread.submit(connections.close_all)
        self._thread.shutdown()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Returns once the condition holds, which is looked at after each operation; fails when it never does."""
        with self._done:
            assert self._done.wait_for(condition, seconds)

    def _execute(self, operation: Any) -> Any:
        try:
            return execute(operation)
        finally:
            with self._done:
                self._done.notify_all()
