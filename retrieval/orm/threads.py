"""Threads that ask the database, each over connections of its own, which end with them."""

from collections.abc import Callable
from typing import TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from mailsuite.server.pulse import WatchedPool
from retrieval.mail_store import StoreUnavailable

T = TypeVar("T")


class DatabaseThreads:
    """At most `count` threads, started as they are needed."""

    def __init__(self, count: int, name: str) -> None:
        self._connections: list[BaseDatabaseWrapper] = []
        self._pool = WatchedPool(count, name, initializer=self._started)

    async def run(self, function: Callable[[], T], seconds: float) -> T:
        """What the function answers. Raises StoreUnavailable when it has none in so many seconds."""
        try:
            return await self._pool.ask(function, seconds=seconds)
        except TimeoutError:
            raise StoreUnavailable("the database does not answer in time") from None

    def close(self) -> None:
        """Drops what is not begun, waits a moment for what is, and closes the connections."""
        if self._pool.drop():
            for connection in self._connections:
                connection.close()

    def _started(self) -> None:
        """In each new thread: lets `close` reach its connections from another."""
        for connection in connections.all():
            connection.inc_thread_sharing()
            self._connections.append(connection)
