"""What commands say instead of a traceback, and what they leave unsaid."""

import errno
import io
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.db import DataError, OperationalError, ProgrammingError, connection
from django.db.migrations.recorder import MigrationRecorder

from mailsuite.directory.models import User
from mailsuite.supervisor import command_line
from mailsuite.supervisor.command_line import CommandLine, check_briefly, explain
from mailsuite.web.checks import check_user


def manage(data, *words, **how):
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.Popen(command, env=environment | {"MAILSUITE_DATA": str(data)}, stderr=subprocess.PIPE, **how)


def said_by_checks(is_quiet):
    command = BaseCommand(stderr=io.StringIO())
    check_briefly(command, is_quiet=is_quiet, databases=["default"], display_num_errors=True)
    return command.stderr.getvalue()


def test_warnings_of_checks_are_one_line(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(command_line.checks, "run_checks", lambda **how: check_user(None))
    said = said_by_checks(is_quiet=False)
    assert said.startswith("Mailsuite runs as root (mailsuite.W009); ") and said.count("\n") == 1
    assert said_by_checks(is_quiet=True) == ""


def test_errors_of_checks_end_the_command_even_where_it_only_reads(monkeypatch):
    from django.core.checks import Error

    monkeypatch.setattr(command_line.checks, "run_checks", lambda **how: [Error("wrong", id="mailsuite.E001")])
    with pytest.raises(SystemCheckError, match="E001"):
        said_by_checks(is_quiet=True)


@pytest.mark.parametrize(
    ("words", "is_quiet"),
    [
        (["queue", "list"], True),
        (["domain", "records", "example.org"], True),
        (["trace", "ann@example.org"], True),
        (["mailbox", "add", "ann@example.org"], False),
        (["ban"], False),
    ],
)
def test_who_reads_through_a_pipe_gets_the_answer_alone(words, is_quiet):
    assert CommandLine(["manage.py", *words])._is_quiet() == is_quiet


@pytest.mark.sqlite_only
def test_before_the_first_start_whatever_asks_the_database_names_the_start(tmp_path, monkeypatch):
    databases = {"default": {"ENGINE": "mailsuite.database.sqlite", "NAME": tmp_path / "mailsuite.sqlite3"}}
    monkeypatch.setattr(settings, "DATABASES", databases)
    for command in ("queue", "showmigrations", "clearsessions", "createsuperuser", "flush", "shell"):
        with pytest.raises(SystemExit, match="There is no database with tables"):
            command_line.refuse_before_first_start(["manage.py", command])
    for words in (["up"], ["migrate"], ["status"], ["check"], ["makemigrations"], ["queue", "--help"]):
        command_line.refuse_before_first_start(["manage.py", *words])


@pytest.mark.sqlite_only
def test_before_the_first_start_nothing_is_made_and_the_start_is_named(tmp_path):
    process = manage(tmp_path, "domain", "list")
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1 and said.count("\n") == 1 and "`manage.py up`" in said
    assert not (tmp_path / "mailsuite.sqlite3").exists()


@pytest.mark.sqlite_only
def test_whoever_has_read_enough_hears_of_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = manage(tmp_path, "help", stdout=writing)
    os.close(writing)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == command_line.BROKEN_PIPE_STATUS


def missing_table():
    """As SQLite says it, and as PostgreSQL does."""
    error = ProgrammingError('relation "x" does not exist')
    error.__cause__ = Exception()
    error.__cause__.sqlstate = "42P01"
    return [OperationalError("no such table: x"), error]


@pytest.mark.django_db
def test_tables_of_another_version_are_told_apart():
    recorder = MigrationRecorder(connection)
    for error in missing_table():
        assert explain(error) is None, "with all migrations it is a fault of ours"
    recorder.record_unapplied("store", max(name for app, name in recorder.applied_migrations() if app == "store"))
    for error in missing_table():
        assert "restart the service" in explain(error)
    recorder.record_applied("store", "9999_from_tomorrow")
    for error in missing_table():
        assert "newer version" in explain(error)
    recorder.migration_qs.all().delete()
    for error in missing_table():
        assert "no tables yet" in explain(error)


@pytest.mark.django_db
def test_a_database_out_of_reach_is_one_line(monkeypatch):
    said = explain(OperationalError("connection refused\n\tIs it running?"))
    assert said.count("\n") == 0 and "connection refused Is it running?" in said
    assert explain(ProgrammingError("syntax error")) is None
    assert explain(DataError("value too long")).startswith("A value is too long")
    # What is wrong before there is a connection is the address of the database.
    monkeypatch.setattr(command_line, "_is_connected", lambda: False)
    assert "invalid connection option" in explain(ProgrammingError('invalid connection option "x"'))


@pytest.mark.django_db
def test_a_password_is_changed_without_a_terminal(monkeypatch):
    user = User.objects.create_superuser("admin@mx.example.org", "a first long password", must_change_password=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("another long password\n"))
    call_command("changepassword", "admin@mx.example.org", "--password-stdin", stdout=io.StringIO())
    user.refresh_from_db()
    assert user.check_password("another long password") and not user.must_change_password


def test_a_secret_that_root_makes_belongs_to_the_folders_owner(tmp_path, monkeypatch):
    from mailsuite import secrets

    given = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda descriptor, *owner: given.append(owner))
    monkeypatch.setattr(secrets, "_owner", lambda folder: (77, 78) if folder == tmp_path else SimpleNamespace())
    secrets.read_or_make_root(tmp_path / "secret.key")
    assert given == [(77, 78)]


def test_a_service_alone_before_the_first_start_names_what_comes_before_it(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "MAILSUITE", replace(settings.MAILSUITE, data=tmp_path, tls_cert=None))
    monkeypatch.setattr("mailsuite.supervisor.log.configure", lambda service: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(CommandError, match="up --prepare-only"):
        call_command("deliver")


def run(monkeypatch, *words, stdin=""):
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    with pytest.raises(SystemExit) as ended:
        command_line.execute(["manage.py", *words])
    return ended.value.code


def test_what_is_no_text_is_refused_before_anything_is_done(monkeypatch):
    said = run(monkeypatch, "mailbox", "add", "ann@example.org", "--name", "Ren\udce9")
    assert said.startswith("Ren\\udce9 is no UTF-8 text") and said.isascii()


def test_a_question_that_nobody_answers_and_ctrl_c_are_no_tracebacks(monkeypatch):
    for error, code in ((EOFError, "standard input has ended"), (KeyboardInterrupt, "130")):
        monkeypatch.setattr(CommandLine, "execute", lambda self, error=error: (_ for _ in ()).throw(error()))
        assert code in str(run(monkeypatch, "createsuperuser"))


def test_a_full_disk_behind_the_answer_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        process = manage(tmp_path, "help", stdout=full)
    said = process.communicate(timeout=60)[1].decode()
    assert (
        process.returncode == 1
        and said.startswith("The disk is full, or what the answer is written to: ")
        and said.count("\n") == 1
    )


def test_closed_standard_streams_are_filled_before_a_file_takes_their_place(tmp_path):
    told = "import sys; os.write(keep, repr([os.readlink(f'/proc/self/fd/{n}') for n in range(3)]).encode())"
    script = (
        "import os; keep = os.dup(1); os.closerange(0, 3); import sys; sys.stdin = sys.stdout = sys.stderr = None;"
        "from mailsuite.supervisor.command_line import fill_standard_streams as fill; fill(); print('x', flush=True);"
        "assert not sys.stdin.isatty() and sys.stdin.readline() == '';" + told
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=settings.BASE_DIR, capture_output=True, timeout=60)
    assert done.stdout.decode() == repr([os.devnull] * 3), done.stderr


def test_the_version_is_that_of_the_suite(capsys):
    import mailsuite

    for words in (["version"], ["--version"]):
        command_line.execute(["manage.py", *words])
        assert capsys.readouterr().out == f"{mailsuite.__version__}\n"
    assert CommandLine(["manage.py", "queue"]).fetch_command("queue").get_version() == mailsuite.__version__


@pytest.mark.parametrize(
    "words",
    [
        *(("status", "--wait", seconds) for seconds in ("nan", "inf", "-1", "x")),
        ("trace", "x", "--limit", "-1"),
        ("queue", "list", "--limit", "9" * 30),
    ],
)
def test_numbers_that_make_no_sense_are_refused(words):
    with pytest.raises(CommandError, match="is no (whole )?number"):
        call_command(*words)


@pytest.mark.django_db
def test_a_search_has_a_budget():
    for command in (["trace"], ["queue", "list"]):
        with pytest.raises(CommandError, match="10 words at most"):
            call_command(*command, *["x"] * 11)


def test_a_file_of_another_user_or_on_a_read_only_disk_is_one_line(monkeypatch):
    for code in (errno.EACCES, errno.EROFS):
        error = OSError(code, os.strerror(code), "/data/write.lock")
        monkeypatch.setattr(CommandLine, "execute", lambda self, error=error: (_ for _ in ()).throw(error))
        assert run(monkeypatch, "queue").startswith("/data/write.lock is not this user's to use: ")
    assert command_line.explain_file(OSError(errno.EIO, "x", "y")) is None
