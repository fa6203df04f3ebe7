"""A copy of the database, taken before a newer version changes its tables."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper


def copy_database(connection: BaseDatabaseWrapper, folder: Path, name: str) -> Path:
    """Returns the finished copy, fsynced: an SQLite database, or PostgreSQL's custom format for pg_restore. Raises
    OSError or RuntimeError when there is none."""
    if connection.vendor == "sqlite":
        copy = folder / f"{name}.sqlite3"
        _copy_sqlite(Path(connection.settings_dict["NAME"]), copy)
    else:
        copy = folder / f"{name}.dump"
        _dump_postgresql(connection, copy)
    for path in (copy, folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return copy


def _copy_sqlite(source: Path, copy: Path) -> None:
    """Copies by SQLite's backup API, which takes in what is still in the write-ahead log."""
    copy.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(copy)) as target:
            original.backup(target)
    except sqlite3.Error as error:
        copy.unlink()
        raise RuntimeError(str(error)) from error


def _dump_postgresql(connection: BaseDatabaseWrapper, copy: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise RuntimeError("pg_dump is not installed here (Debian: apt install postgresql-client).")
    where = connection.settings_dict
    environment = os.environ | {
        variable: str(where[key])
        for variable, key in {
            "PGHOST": "HOST",
            "PGPORT": "PORT",
            "PGUSER": "USER",
            "PGPASSWORD": "PASSWORD",
            "PGDATABASE": "NAME",
        }.items()
        if where[key]
    }
    copy.touch(mode=0o600)
    result = subprocess.run(
        [program, "--format=custom", f"--file={copy}", "--no-password"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        copy.unlink()
        raise RuntimeError(result.stderr.strip())
