"""Copies of the database, taken before a newer version changes its tables."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

# What begins so in the folder of copies is ours to remove.
PREFIX = "before-"
# A copy that was not finished; its name gets this end taken off last.
UNFINISHED = ".part"


def copy_database(connection: BaseDatabaseWrapper, folder: Path, name: str) -> Path:
    """Returns the finished copy, fsynced: an SQLite database, or PostgreSQL's custom format for pg_restore. Raises
    OSError or RuntimeError when there is none."""
    is_sqlite = connection.vendor == "sqlite"
    copy = folder / f"{PREFIX}{name}.{'sqlite3' if is_sqlite else 'dump'}"
    draft = copy.with_name(copy.name + UNFINISHED)
    if is_sqlite:
        _copy_sqlite(Path(connection.settings_dict["NAME"]), draft)
    else:
        _dump_postgresql(connection, draft)
    _sync(draft)
    draft.rename(copy)
    _sync(folder)
    return copy


def prune_copies(folder: Path, keep: int) -> list[Path]:
    """Removes all but the newest `keep` copies, and those that were never finished; returns what is gone. One
    that can't be removed is no reason not to start."""
    if not folder.is_dir():
        return []
    copies = sorted(folder.glob(f"{PREFIX}*"), key=lambda path: path.stat().st_mtime, reverse=True)
    finished = [path for path in copies if UNFINISHED not in path.suffix]
    return [*_remove(finished[keep:]), *remove_unfinished(folder)]


def remove_unfinished(folder: Path) -> list[Path]:
    """Removes copies that were never finished, and SQLite's journals of them: a start that was killed leaves one, and
    so does the next."""
    return _remove(folder.glob(f"{PREFIX}*{UNFINISHED}*"))


def _remove(paths: Iterable[Path]) -> list[Path]:
    gone = []
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
            gone.append(path)
    return gone


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
