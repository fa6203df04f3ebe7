"""How long a transaction waits for its turn, and what it raises when there is none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

# Less than the web server's clients and the store's askers wait.
LOCK_SECONDS = 10.0
# Where the work can be left undone.
BRIEF_SECONDS = 1.0
# PostgreSQL: lock_not_available (lock_timeout), query_canceled (statement_timeout).
_BUSY_STATES = frozenset({"55P03", "57014"})


class WriterBusy(OperationalError):
    """Another has kept the write lock for too long; nothing was changed."""


class _Patience(threading.local):
    seconds = LOCK_SECONDS


_patience = _Patience()


def lock_seconds() -> float:
    """How long this thread waits for the write lock."""
    return _patience.seconds


@contextmanager
def brief_transaction() -> Iterator[None]:
    """A transaction of what can be left undone: it waits BRIEF_SECONDS for its turn, then raises WriterBusy or what
    `is_busy` knows. Within another it waits as that one does."""
    connection = connections[DEFAULT_DB_ALIAS]
    sets_limit = connection.vendor == "postgresql" and not connection.in_atomic_block
    before, _patience.seconds = _patience.seconds, BRIEF_SECONDS
    try:
        with transaction.atomic():
            if sets_limit:
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = '{BRIEF_SECONDS:g}s'")
            yield
    finally:
        _patience.seconds = before


def is_busy(error: BaseException) -> bool:
    """Whether a database error says that others kept a lock for too long: nothing was changed, later it may go."""
    if isinstance(error, WriterBusy):
        return True
    state = getattr(error.__cause__, "sqlstate", None)
    return state in _BUSY_STATES or (isinstance(error, OperationalError) and "database is locked" in str(error))


def limit_statements(seconds: float) -> None:
    """Has PostgreSQL end what this process asks of it after `seconds`, and give up a transaction that it leaves open
    for as long: whoever waits behind it may go on. To be called before the first question."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        options = connection.settings_dict["OPTIONS"]
        limits = ("statement_timeout", "idle_in_transaction_session_timeout")
        options["options"] += "".join(f" -c {name}={seconds * 1000:.0f}" for name in limits)
