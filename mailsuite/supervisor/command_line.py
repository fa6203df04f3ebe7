"""`manage.py COMMAND`: Django's own, with one line for what a person can mend, and none in the way of an answer."""

import errno
import os
import select
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand, SystemCheckError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, DataError, InterfaceError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

import mailsuite
from mailsuite.database.patience import is_busy
from mailsuite.supervisor.versions import NEWER, is_newer
from mailsuite.writer.reserve import is_disk_full, reserve

# They only tell: what reads them through a pipe gets the answer alone.
READING_COMMANDS = frozenset({"trace", "delivery", "showmigrations", "dumpdata", "diffsettings", "sqlmigrate"})
READING_VERBS = frozenset({"list", "show", "records", "check", "causes"})
# All others ask the database, and must not make one.
WITHOUT_DATABASE = frozenset(
    "help version up migrate status check store smtpd deliver retrieval web diffsettings makemigrations "
    "squashmigrations optimizemigration findstatic collectstatic makemessages compilemessages sendtestemail "
    "startapp startproject testserver".split()
)
START = "the first start, by `manage.py up` or the unit, makes them"
# PostgreSQL: undefined_table, undefined_column.
_MISSING_STATES = frozenset({"42P01", "42703"})
_MISSING_WORDS = ("no such table", "no such column", "has no column named")
# As a shell says of a program that SIGPIPE ended.
BROKEN_PIPE_STATUS = 128 + 13
INTERRUPTED_STATUS = 128 + 2


class CommandLine(ManagementUtility):
    """Django's, whose commands tell in one line what checks find."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        """The command of that name, with our version and with checks that are told in a line."""
        command = super().fetch_command(subcommand)
        refuse_before_first_start(self.argv)
        # Django would tell its own.
        command.get_version = lambda: mailsuite.__version__  # type: ignore[method-assign]
        if subcommand != "check":
            # Django would print each warning with its hint before each answer.
            command.check = partial(check_briefly, command, is_quiet=self._is_quiet())  # type: ignore[method-assign]
        return command

    def _is_quiet(self) -> bool:
        reads = self.argv[1] in READING_COMMANDS or bool(READING_VERBS.intersection(self.argv[2:3]))
        return reads and not sys.stdout.isatty()


def execute(argv: Sequence[str]) -> None:
    """Runs the command that `argv` names. Ends the process with a line for a person where the database can't be used as
    it is, and without a word when whoever read the answer has read enough (`| head`)."""
    fill_standard_streams()
    try:
        _execute(argv)
    except BrokenPipeError:
        if not _is_closed(sys.stdout.fileno()):
            raise
        _give_up_output()
        sys.exit(BROKEN_PIPE_STATUS)
    except OSError as error:
        if "--traceback" in argv or not (said := explain_file(error)):
            raise
        if error.filename is None:
            _give_up_output()
        sys.exit(said)
    except EOFError:
        sys.exit("\nThat asks for an answer, and standard input has ended: run it at a terminal.")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    except DatabaseError as error:
        said = None if "--traceback" in argv else explain(error)
        if said is None:
            raise
        sys.exit(said)


def _execute(argv: Sequence[str]) -> None:
    try:
        refuse_broken_text(argv)
        if list(argv[1:]) in (["version"], ["--version"]):
            print(mailsuite.__version__)
        else:
            CommandLine(list(argv)).execute()
    finally:
        # Here it can still be told what became of it, at the end of the process no longer.
        sys.stdout.flush()


def fill_standard_streams() -> None:
    """Opens what whoever started this has closed of standard input, output and error: the next file would come in its
    place, and be read or written as such."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def refuse_broken_text(argv: Sequence[str]) -> None:
    """Ends the process where an argument is no text: no database and no mail could hold it."""
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode("ascii", "backslashreplace").decode()
            sys.exit(f"{shown[:100]} is no UTF-8 text: write it in the character set of this terminal.")


def check_briefly(command: BaseCommand, *, is_quiet: bool, **how: Any) -> None:
    """Runs the system checks; writes a line about warnings unless `is_quiet`. Raises SystemCheckError for errors."""
    how = {name: value for name, value in how.items() if name in ("app_configs", "tags", "databases")}
    found = [message for message in checks.run_checks(**how) if not message.is_silenced()]
    if errors := [message for message in found if message.level >= checks.ERROR]:
        raise SystemCheckError("\n".join(str(message) for message in errors))
    warnings = [message for message in found if message.level >= checks.WARNING]
    if warnings and not is_quiet:
        ids = ", ".join(sorted({str(message.id) for message in warnings}))
        # Its first sentence; the check command has the rest.
        first = (
            str(warnings[0].msg).partition(": ")[0].rstrip(".") if len(warnings) == 1 else f"{len(warnings)} warnings"
        )
        command.stderr.write(f"{first} ({ids}); `manage.py check` says more.")


def refuse_before_first_start(argv: Sequence[str]) -> None:
    """Ends the process where a command asks for a database that no start has made yet: an SQLite file that it made
    itself would be empty, and perhaps not the service's to write."""
    from django.conf import settings

    if argv[1] in WITHOUT_DATABASE or {"-h", "--help", "--version"}.intersection(argv):
        return
    database = settings.DATABASES[DEFAULT_DB_ALIAS]
    path = Path(str(database["NAME"]))
    if "sqlite" not in database["ENGINE"] or _exists(path):
        return
    sys.exit(
        f"There is no database with tables at {path}: {START}. Where the service has settings of its own, such as "
        "/etc/mailsuite/env, name them in MAILSUITE_ENV_FILE, or its data folder in MAILSUITE_DATA."
    )


def explain_file(error: OSError) -> str | None:
    """What a person can do about a file that can't be read or written; None for what is a fault of ours."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full, or what the answer is written to{where}: make room, then try again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        return f"{error.filename} is not this user's to use: {error.strerror}. Be the user that Mailsuite runs as."
    return None


def explain(error: DatabaseError) -> str | None:
    """What a person can do about a database that failed; None for what is a fault of ours."""
    if is_disk_full(error):
        more = "a reserve was set free, try again" if reserve().release() else "make room first"
        return f"The disk is full, so this was not done; {more}."
    why = " ".join(str(error).split())
    if is_busy(error):
        return f"The database is busy, so this was not done; try again in a moment. ({why})"
    if said := _explain_tables(error):
        return said
    if isinstance(error, DataError):
        return f"A value is too long, too large or no text, so this was not done: {why}."
    if (isinstance(error, OperationalError | InterfaceError) or not _is_connected()) and not _names_what_is_missing(
        error
    ):
        return f"The database can't be used by this user, or at all: {why}."
    return None


def _is_connected() -> bool:
    """Whether there was ever a connection: what fails before is its address, or that it is no database."""
    return any(connections[alias].connection for alias in connections)


def _explain_tables(error: DatabaseError) -> str | None:
    """Whether the tables are those of another version, or none at all."""
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        applied = set(executor.loader.applied_migrations)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return None
    if is_newer(executor.loader):
        return NEWER
    if pending and not applied:
        return f"The database has no tables yet: {START}."
    if pending and _names_what_is_missing(error):
        return (
            "This database is still of an earlier version of Mailsuite: restart the service, which copies and changes "
            "it, then do this again."
        )
    return None


def _names_what_is_missing(error: DatabaseError) -> bool:
    state = getattr(error.__cause__, "sqlstate", None)
    return state in _MISSING_STATES or any(words in str(error) for words in _MISSING_WORDS)


def _exists(path: Path) -> bool:
    """True as well for what this user may not even look at: to open it will say so."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _give_up_output() -> None:
    """Has Python not complain once more when it closes its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_closed(descriptor: int) -> bool:
    """Whether nobody reads any more what is written there."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
