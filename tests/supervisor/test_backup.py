"""A newer version copies the database before it changes tables; `up --prepare-only` is `up` without the services."""

import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from mailsuite.supervisor import backup, prepare

# The sessions table is not there yet, as before an upgrade that brings it.
MAKE_OLDER = ("DROP TABLE django_session", "DELETE FROM django_migrations WHERE app = 'sessions'")


@pytest.fixture
def older(new_suite):
    """A prepared data folder whose database lacks one migration."""
    suite = new_suite(from_nothing=True)
    suite.manage("up", "--prepare-only")
    with connect(suite) as database:
        for statement in MAKE_OLDER:
            database.execute(statement)
        database.commit()
    return suite


def connect(suite):
    url = suite.environment.get("DATABASE_URL")
    return closing(psycopg.connect(url) if url else sqlite3.connect(suite.data / "mailsuite.sqlite3"))


def has_sessions(suite) -> bool:
    with connect(suite) as database:
        return database.execute("SELECT count(*) FROM django_migrations WHERE app = 'sessions'").fetchone() == (1,)


def test_an_upgrade_copies_the_database_first(older, require_program):
    if "DATABASE_URL" in older.environment:
        require_program("pg_dump", "postgresql-client")
    said = older.manage("up", "--prepare-only")
    [copy] = (older.data / "backups").iterdir()
    assert copy.name.startswith("before-0.")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert f"Copied the database to {copy} before changing it." in said
    assert holds_users_but_no_sessions(copy)
    assert has_sessions(older)


def test_nothing_to_migrate_is_nothing_to_copy(new_suite):
    suite = new_suite(from_nothing=True)
    suite.manage("up", "--prepare-only")
    assert "Copied" not in suite.manage("up", "--prepare-only")
    assert not (suite.data / "backups").exists()


@pytest.mark.sqlite_only
def test_a_new_database_is_for_this_user_alone(new_suite):
    """The data folder may be one that others may look into, such as a home that adduser made."""
    suite = new_suite(from_nothing=True)
    suite.data.mkdir()
    suite.manage("up", "--prepare-only")
    files = [path for path in suite.data.iterdir() if path.name.startswith("mailsuite.sqlite3")]
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_the_copy_can_be_left_out(older):
    older.manage("up", "--prepare-only", "--no-copy")
    assert not (older.data / "backups").exists()
    assert has_sessions(older)


def test_a_copy_that_fails_stops_the_upgrade(older):
    (older.data / "backups").write_text("in the way")
    done = older.run("up", "--prepare-only")
    assert done.returncode == 1
    assert "failed" in done.stderr and "up --no-copy" in done.stderr
    assert "Traceback" not in done.stderr
    assert not has_sessions(older)


def test_a_database_that_cannot_be_read_is_told_as_such(tmp_path):
    with pytest.raises(RuntimeError, match="unable to open"):
        backup._copy_sqlite(tmp_path / "not" / "there.sqlite3", tmp_path / "copy.sqlite3")
    assert not list(tmp_path.iterdir())


def test_old_copies_and_unfinished_ones_are_removed(tmp_path):
    assert backup.prune_copies(tmp_path / "none", 2) == []
    names = [f"before-0.{number}.sqlite3" for number in range(4)]
    unfinished = ["before-0.9.dump.part", "before-0.9.sqlite3.part-journal"]
    for age, name in enumerate([*unfinished, *reversed(names), "a-copy-of-mine.sqlite3"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    gone = backup.prune_copies(tmp_path, 2)
    assert {path.name for path in gone} == {"before-0.0.sqlite3", "before-0.1.sqlite3", *unfinished}
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"before-0.2.sqlite3", "before-0.3.sqlite3", "a-copy-of-mine.sqlite3"}


def holds_users_but_no_sessions(copy) -> bool:
    if copy.suffix == ".dump":
        listing = subprocess.run(["pg_restore", "--list", str(copy)], capture_output=True, text=True, check=True).stdout
        return "TABLE DATA public directory_user" in listing and "django_session" not in listing
    with closing(sqlite3.connect(copy)) as plain:
        tables = {name for (name,) in plain.execute("SELECT name FROM sqlite_master")}
        users = plain.execute("SELECT count(*) FROM directory_user").fetchone()
    return users == (1,) and "django_session" not in tables


@pytest.mark.django_db
def test_a_failed_upgrade_leaves_a_copy_only_where_it_changed_something(tmp_path, monkeypatch):
    """A unit starts it again every few seconds: each start left one more copy."""
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("sessions", "0001_initial")

    def copy(_, folder, name):
        (folder / f"before-{name}").touch()
        return folder / f"before-{name}"

    def fails(*_, **__):
        raise RuntimeError("no")

    def fails_half_way(*_, **__):
        recorder.record_applied("sessions", "0001_initial")
        fails()

    monkeypatch.setattr(prepare, "copy_database", copy)
    configuration = replace(settings.MAILSUITE, data=tmp_path)
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "before-0.0.sqlite3.part").touch()
    for migrate, left in ((fails, 0), (fails_half_way, 1)):
        monkeypatch.setattr(prepare, "call_command", migrate)
        with pytest.raises(RuntimeError):
            prepare._migrate(configuration, copy_first=True)
        assert len(list(folder.iterdir())) == left


@pytest.mark.django_db
def test_an_older_version_does_not_start_on_the_tables_of_a_newer_one(tmp_path):
    """It would write rows that lack what the newer one needs, and fail amid mail."""
    MigrationRecorder(connection).record_applied("store", "9999_from_tomorrow")
    with pytest.raises(prepare.PrepareError, match="A newer version of Mailsuite has changed this database"):
        prepare._migrate(replace(settings.MAILSUITE, data=tmp_path), copy_first=True)
