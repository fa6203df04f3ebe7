"""Where reads run. Measured with 10,000 envelopes on two cores, other sessions asking for a turn all the while:

SQLite inline, slices of 100 rows: 18 folders a second, others wait 0.1 ms, at most (p99) 1 ms; beside five such
readers 5 and 8 ms. In a thread: 9 to 13 folders a second, others 0.2 and 1 to 3 ms: rows come one by one, and the
thread waits for the GIL at each. So SQLite is read inline, in slices, with a turn for everybody after each.
PostgreSQL's answers come over a socket, in one piece and without the GIL: it is read in threads.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import connections

from retrieval.orm.reads import READER, guarded
from retrieval.orm.threads import DatabaseThreads

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
    """Runs the functions of `reads`. Long work has a thread of its own; logins have theirs.

    To be made before the tasks that use it: within an event loop Django keeps connections by context, and a task
    inherits those that its maker had. So all sessions share the one that is opened here.
    """

    def __init__(self) -> None:
        self._inline = connections[READER].vendor == "sqlite"
        self._threads = DatabaseThreads(READING_THREADS, "reader")
        self._long_work = DatabaseThreads(1, "search")
        if self._inline:
            with connections[READER].cursor() as cursor:
                cursor.execute(f"PRAGMA mmap_size={MAPPED_OCTETS}")
                cursor.execute(f"PRAGMA busy_timeout={PATIENCE_MILLISECONDS}")

    async def run(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of a short read. Raises StoreUnavailable."""
        if self._inline:
            return guarded(read, *args, **kwargs)
        return await self._threads.run(lambda: guarded(read, *args, **kwargs), READ_SECONDS)

    async def run_long(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of something that would keep others waiting."""
        return await self._long_work.run(lambda: guarded(read, *args, **kwargs), LONG_SECONDS)

    def close(self) -> None:
        if self._inline:
            connections[READER].close()
        self._threads.close()
        self._long_work.close()
