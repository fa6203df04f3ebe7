"""Asking the database from an event loop: SQLite at once, PostgreSQL in threads, a connection that broke dropped.

A short read of SQLite takes less than to hand it to a thread and back, and a thread that fetches rows one by one waits
for the interpreter at each (retrieval.orm.reader has figures). PostgreSQL may be another
host: a loop that waited for it would hold up every session. What takes long, or writes, goes to a thread on both.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from mailsuite.server.pulse import END_SECONDS, WatchedPool

P = ParamSpec("P")
T = TypeVar("T")
# The connection that reads alone.
READER = "reader"


def drop_broken() -> None:
    """Have this thread's connections that broke made anew when they are next used; one amid a transaction is let be."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def guarded(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the question answers. Raises what it raises; the next one then finds no broken connection."""
    try:
        return question(*args, **kwargs)
    except Exception:
        drop_broken()
        raise


def _guarded_afresh(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    drop_broken()
    return guarded(question, *args, **kwargs)


class DatabaseThreads:
    """At most `threads` of them, each with connections of its own, started as they are needed. Nobody waits longer than
    `seconds` for an answer; a thread that is at one question for a minute is told as standing still
    (mailsuite.server.pulse).

    To be made before the tasks that use it: within an event loop Django keeps connections by context, and a task
    inherits those that its maker had.
    """

    def __init__(self, name: str, threads: int = 1, *, seconds: float, is_rare: bool = False) -> None:
        """`is_rare` says that hours may lie between two questions: then each finds out first whether the connection
        is still alive, which costs a round trip (Django's CONN_HEALTH_CHECKS)."""
        self._seconds = seconds
        self._run = _guarded_afresh if is_rare else guarded
        self._reads_at_once = connections[READER].vendor == "sqlite"
        self._connections: list[BaseDatabaseWrapper] = []
        self._pool = WatchedPool(threads, name, initializer=self._started)

    async def read(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the answer of short reads: at once on SQLite, else as `ask` does. Raises the same."""
        if self._reads_at_once:
            return guarded(question, *args, **kwargs)
        return await self.ask(question, *args, **kwargs)

    async def ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the answer, from a thread. Raises TimeoutError when there is none in time, and what the question
        raises."""
        return await self._pool.ask(partial(self._run, question, *args, **kwargs), seconds=self._seconds)

    def close(self) -> None:
        """Drop what is not begun, wait a moment for what is, and close the connections."""
        if self._pool.drop() and self._connections:
            # Django refuses to in the thread of an event loop.
            closing = threading.Thread(target=self._close_connections)
            closing.start()
            closing.join(END_SECONDS)

    def _close_connections(self) -> None:
        for connection in self._connections:
            connection.close()

    def _started(self) -> None:
        """In each new thread: let `close` reach its connections from another."""
        for connection in connections.all():
            connection.inc_thread_sharing()
            self._connections.append(connection)
