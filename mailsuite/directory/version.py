"""The directory's version: caches and sessions hold what they know only while it stays the same.

It is drawn like an id, ascending with time, and not counted up by one: a restored copy of the database, or a change
that was rolled back, can't bring back a number under which somebody remembers something else.
"""

import time

from django.db import connection, connections, transaction

from mailsuite.ids import new_id

# A message asks for the version a dozen times. What another process changed is seen so much later at most.
RECENT_SECONDS = 0.02

_recent: tuple[int, float] = (0, 0.0)


def touch_directory() -> None:
    """Draws a new version in the caller's transaction, or in one of its own."""
    with transaction.atomic():
        version = new_id()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE directory_directoryversion SET version = %s WHERE id = 1", [version])
            if not cursor.rowcount:
                cursor.execute("INSERT INTO directory_directoryversion (id, version) VALUES (1, %s)", [version])
        _forget_recent()
        transaction.on_commit(_forget_recent)


def directory_version() -> int:
    """The version now, by one small query; 0 when there is none yet."""
    with connections["reader"].cursor() as cursor:
        cursor.execute("SELECT version FROM directory_directoryversion WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else 0


def recent_version() -> int:
    """The version as it was at most RECENT_SECONDS ago; what this process changed itself shows at once."""
    global _recent
    version, until = _recent
    now = time.monotonic()
    if now < until:
        return version
    version = directory_version()
    _recent = (version, now + RECENT_SECONDS)
    return version


def _forget_recent() -> None:
    global _recent
    _recent = (0, 0.0)
