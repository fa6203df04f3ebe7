"""Runs what sessions read from the database: SQLite in the event loop, PostgreSQL in threads.

Measured with 10,000 envelopes on two cores, other sessions asking for a turn all the while:

SQLite inline, slices of 100 rows: 18 folders a second, others wait 0.1 ms, at most (p99) 1 ms; beside five such
readers 5 and 8 ms. In a thread: 9 to 13 folders a second, others 0.2 and 1 to 3 ms: rows come one by one, and the
thread waits for the GIL at each. So SQLite is read inline, in slices, with a turn for everybody after each.
PostgreSQL's answers come over a socket, in one piece and without the GIL: it is read in threads.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import Error, connections

from mailsuite.database.threads import READER, DatabaseThreads
from retrieval.mail_values import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
READING_THREADS = 4
# Beyond these whoever asked hears NO [UNAVAILABLE]. Long work takes turns with that of others.
READ_SECONDS = 10.0
LONG_SECONDS = 60.0
# A reader hardly ever meets a lock (the recovery after a crash is one); the event loop does not wait it out.
PATIENCE_MILLISECONDS = 250
# Pages of the database that SQLite maps instead of copying: 20 % of the time of a large FETCH.
MAPPED_OCTETS = 64 * 1024 * 1024


class Reader:
    """Runs the functions of `reads`. Long work has a thread of its own; logins have theirs. All sessions share the
    connection that is opened here, so it is made before their tasks (mailsuite.database.threads)."""

    def __init__(self) -> None:
        self._threads = DatabaseThreads("reader", READING_THREADS, seconds=READ_SECONDS)
        self._long_work = DatabaseThreads("search", seconds=LONG_SECONDS)
        self._reads_at_once = connections[READER].vendor == "sqlite"
        if self._reads_at_once:
            with connections[READER].cursor() as cursor:
                cursor.execute(f"PRAGMA mmap_size={MAPPED_OCTETS}")
                cursor.execute(f"PRAGMA busy_timeout={PATIENCE_MILLISECONDS}")

    async def run(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of a short read. Raises StoreUnavailable."""
        try:
            return await self._threads.read(read, *args, **kwargs)
        except (Error, TimeoutError) as error:
            raise unavailable(error) from error

    async def run_long(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of something that would keep others waiting. Raises StoreUnavailable."""
        try:
            return await self._long_work.ask(read, *args, **kwargs)
        except (Error, TimeoutError) as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """End the threads; what has not begun is never done."""
        if self._reads_at_once:
            connections[READER].close()
        self._threads.close()
        self._long_work.close()


def unavailable(error: Error | TimeoutError) -> StoreUnavailable:
    """Return what a session is told of a database that fails, or does not answer in time."""
    return StoreUnavailable(str(error) or "the database does not answer in time")
