"""Django's SQLite backend with writers that queue up in the kernel instead of in SQLite's busy handler.

SQLite's handler sleeps and starves; `flock` on a file wakes the next writer at once. Every write transaction
(BEGIN IMMEDIATE) takes the lock first and drops it after COMMIT or ROLLBACK. Readers take no lock.
"""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.operations import DatabaseOperations

from mailsuite.database import write_lock
from mailsuite.database.patience import lock_seconds
from mailsuite.database.sqlite import without_case

without_case.register()

CONVERTED = 512  # statements are remembered as SQLite takes them
CONVERTED_CHARACTERS = 4_000  # has the longest of them


class Operations(DatabaseOperations):
    def adapt_datetimefield_value(self, value: Any) -> Any:
        """As Django does; a time in UTC, as all of ours are, without asking which zone the database keeps."""
        if type(value) is datetime and value.tzinfo is UTC and self.connection.timezone is UTC:
            return str(value.replace(tzinfo=None))
        return super().adapt_datetimefield_value(value)


class Cursor(base.SQLiteCursorWrapper):
    def convert_query(self, query: str, *, param_names: Any = None) -> str:
        """As Django does, once for each statement: every message brings the same ones."""
        if param_names is None and len(query) <= CONVERTED_CHARACTERS:
            return _converted(query)
        converted: str = super().convert_query(query, param_names=param_names)
        return converted


@lru_cache(maxsize=CONVERTED)
def _converted(query: str) -> str:
    return str(base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%"))


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, whose transactions that may write hold the file lock from BEGIN to COMMIT or ROLLBACK."""

    ops_class = Operations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock_descriptor: int | None = None

    def get_connection_params(self) -> dict[str, Any]:
        """With `must_exist` in its options, a connection that makes no file where there is none."""
        parameters = super().get_connection_params()
        if parameters.pop("must_exist", False):
            parameters["database"] = f"file:{quote(str(parameters['database']))}?mode=rw"
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection that knows FOLDED(text), which compares words as a search of mail does."""
        connection = super().get_new_connection(conn_params)
        connection.create_function("FOLDED", 1, without_case.fold, deterministic=True)
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=Cursor)

    def _start_transaction_under_autocommit(self) -> None:
        if self.transaction_mode != "IMMEDIATE":
            return super()._start_transaction_under_autocommit()
        self._acquire()
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._release()
            raise

    def _commit(self) -> None:
        # A COMMIT that fails leaves the transaction open: the lock stays until ROLLBACK.
        super()._commit()
        self._release()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._release()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._release()

    def _acquire(self) -> None:
        if self._lock_descriptor is None:
            self._lock_descriptor = write_lock.acquire(self._lock_path(), lock_seconds())

    def _release(self) -> None:
        descriptor, self._lock_descriptor = self._lock_descriptor, None
        if descriptor is not None:
            write_lock.release(descriptor)

    def _lock_path(self) -> str:
        return str(Path(self.settings_dict["NAME"]).with_name("write.lock"))
