"""Several processes write one SQLite database: none fails, none waits for long, nothing is lost."""

import os
import sqlite3
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.utils import ConnectionHandler, OperationalError

from mailsuite.database import url

pytestmark = [pytest.mark.sqlite_only]

WRITERS = 6
COMMITS = 40

# One writer: reads a number, adds one, writes it back, which loses counts unless transactions queue up.
WRITER = """
import django
django.setup()
from django.db import connection, transaction
for _ in range({commits}):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT n FROM counter")
        n = cursor.fetchone()[0]
        cursor.execute("UPDATE counter SET n = %s", [n + 1])
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "counter.sqlite3"
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA journal_mode=WAL")
        plain.execute("CREATE TABLE counter (n INTEGER)")
        plain.execute("INSERT INTO counter VALUES (0)")
    plain.close()
    return path


def test_writers_in_several_processes_queue_up(database):
    environment = os.environ | {"DATABASE_URL": f"sqlite://{database}"}
    command = [sys.executable, "-c", WRITER.format(commits=COMMITS)]
    writers = [
        subprocess.Popen(command, env=environment, cwd=settings.BASE_DIR, stderr=subprocess.PIPE)
        for _ in range(WRITERS)
    ]
    errors = [writer.communicate()[1].decode() for writer in writers]
    assert errors == [""] * WRITERS
    with sqlite3.connect(database) as plain:
        assert plain.execute("SELECT n FROM counter").fetchone() == (WRITERS * COMMITS,)
    plain.close()


def lock_is_free() -> bool:
    """Whether another process could begin to write now."""
    path = os.path.join(os.path.dirname(connection.settings_dict["NAME"]), "write.lock")
    return subprocess.run(["flock", "--nonblock", path, "true"]).returncode == 0


@pytest.mark.django_db(transaction=True)
def test_the_lock_is_held_from_begin_to_commit_and_after_no_end_of_a_transaction():
    with transaction.atomic():
        assert not lock_is_free()
        with transaction.atomic():
            pass
        assert not lock_is_free()
    assert lock_is_free()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        raise ZeroDivisionError
    assert lock_is_free()

    with pytest.raises(OperationalError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")
    assert lock_is_free()


@pytest.mark.django_db(transaction=True)
def test_a_closed_connection_holds_no_lock():
    with transaction.atomic():
        assert not lock_is_free()
        connection.close()
        assert lock_is_free()


@pytest.mark.django_db(transaction=True)
def test_every_commit_is_synced():
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone() == (2,)
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)


@pytest.mark.sqlite_only
def test_whoever_only_reads_makes_no_database(tmp_path, django_db_blocker):
    path = tmp_path / "a folder?" / "mailsuite.sqlite3"
    path.parent.mkdir()
    handler = ConnectionHandler(url._sqlite(path, tmp_path))
    with django_db_blocker.unblock():
        with pytest.raises(OperationalError, match="unable to open"):
            handler["reader"].ensure_connection()
        assert list(path.parent.iterdir()) == []
        handler["default"].ensure_connection()
        with handler["reader"].cursor() as cursor:
            assert cursor.execute("PRAGMA query_only").fetchone() == (1,)
        for alias in handler:
            handler[alias].close()
    assert path.stat().st_size
