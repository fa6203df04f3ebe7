"""A newer version copies the database before it changes tables."""

import sqlite3
import subprocess

import pytest
from django.db import connection


def make_older(suite) -> None:
    """Leaves the newest migration of the sessions table unapplied, as before an upgrade that brings it."""
    suite.manage("migrate", "sessions", "zero")


@pytest.mark.interop
def test_an_upgrade_copies_the_database_first(start_suite, require_program):
    if connection.vendor == "postgresql":
        require_program("pg_dump", "postgresql-client")
    suite = start_suite()
    suite.stop()
    make_older(suite)

    suite.start()

    [copy] = (suite.data / "backups").iterdir()
    assert copy.name.startswith("before-0.")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert str(copy) in suite.log.read_text()
    assert holds_users_but_no_sessions(copy)
    assert "No planned migration operations" in suite.manage("migrate", "--plan")
    suite.stop()


@pytest.mark.interop
def test_the_copy_can_be_left_out(start_suite):
    suite = start_suite()
    suite.stop()
    make_older(suite)
    suite.start("--no-copy")
    assert not (suite.data / "backups").exists()
    suite.stop()


@pytest.mark.interop
def test_a_copy_that_fails_stops_the_upgrade(start_suite):
    suite = start_suite()
    suite.stop()
    make_older(suite)
    (suite.data / "backups").write_text("in the way")

    done = suite.run("up")

    assert done.returncode == 1
    assert "failed" in done.stderr and "up --no-copy" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Create model Session" in suite.manage("migrate", "--plan")


def holds_users_but_no_sessions(copy) -> bool:
    if copy.suffix == ".dump":
        listing = subprocess.run(["pg_restore", "--list", str(copy)], capture_output=True, text=True, check=True).stdout
        return "TABLE DATA public directory_user" in listing and "django_session" not in listing
    with sqlite3.connect(copy) as plain:
        tables = {name for (name,) in plain.execute("SELECT name FROM sqlite_master")}
        users = plain.execute("SELECT count(*) FROM directory_user").fetchone()
    plain.close()
    return users == (1,) and "django_session" not in tables
