"""One transaction of the writer: what it will insert, whom it will tell, and what apps have locked in it.

Rows gather in lists and are written by `flush` before the commit. Operations are functions (batch, operation) -> answer
that apps have registered (mailsuite.writer.registry), as are the locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from django.db import connection

from mailsuite.database.sql import INSERTS, timestamp
from mailsuite.writer.operation import Operation
from mailsuite.writer.reading import Reading
from mailsuite.writer.registry import LOCKS

L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class Filed:
    """A spool file that was read and adopted: a Content row to be. Batches find it by the spool file's name."""

    reading: Reading
    blob: str


def database_clock() -> datetime:
    """The database's time, which all hosts of a site share; with SQLite that is this machine's."""
    if connection.vendor == "sqlite":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return cast(datetime, cursor.fetchone()[0])


@dataclass(slots=True)
class Batch:
    """The open transaction. `hints` are the folders that changed; `queued` says that something came into the queue."""

    now: datetime = field(default_factory=database_clock)
    hints: set[int] = field(default_factory=set)
    queued: bool = False
    files: dict[str, Filed] = field(default_factory=dict)
    cursor: Any = None
    now_value: Any = None
    _locks: dict[Any, Any] = field(default_factory=dict)
    _rows: dict[type[Any], list[tuple[Any, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cursor = connection.cursor()
        self.now_value = timestamp()(self.now)

    def lock(self, operations: Sequence[Operation[Any]]) -> None:
        """Has each app lock what these need; call once, before any change."""
        for _, make in LOCKS:
            self._locks[make] = make(self, operations)

    def locked(self, kind: type[L]) -> L:
        """What the app that registered this kind of locks has locked."""
        return cast(L, self._locks[kind])

    def insert(self, row: tuple[Any, ...]) -> None:
        """Has a row (sql.row_of) inserted with all others of its kind."""
        self._rows.setdefault(type(row), []).append(row)

    def flush(self) -> None:
        """Writes what gathered; also called by operations that must read their own batch's rows."""
        rows, self._rows = self._rows, {}
        for kind, of_kind in rows.items():
            INSERTS[kind].run(self.cursor, of_kind)

    def finish(self) -> None:
        """Writes rows and what was locked; the commit follows."""
        self.flush()
        for locks in self._locks.values():
            locks.finish()
        # They lead back here, and would be left to the garbage collector.
        self._locks.clear()
        self.cursor.close()
