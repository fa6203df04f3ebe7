"""What must be true before the services start: folders, certificate, migrated tables, a first administrator.

All of it happens in a child of the supervisor that ends: the parent itself must never hold a database connection.
"""

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core import checks
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

import mailsuite
from mailsuite.configuration import Configuration
from mailsuite.supervisor.backup import copy_database, prune_copies, remove_unfinished
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.supervisor.progress import Progress
from mailsuite.supervisor.versions import NEWER, is_newer
from mailsuite.writer.storage import mail_storage

# unix(7) allows a socket's path 107 octets; the longest in the data folder is /run/.store.sock.PID.
DATA_PATH_OCTETS = 107 - len("/run/.store.sock.4194304")


class PrepareError(Exception):
    """The suite can't start; str() says in plain words why and what to do."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What preparing came to. `password` is the first administrator's, only when this run made the account."""

    administrator: str = ""
    password: str = ""
    backup: str = ""
    migrations: int = 0
    warnings: tuple[str, ...] = ()


def prepare(configuration: Configuration, *, copy_first: bool) -> Prepared:
    """Makes ready whatever is not. `copy_first` copies an existing database before migrations change it. Raises
    PrepareError."""
    make_folders(configuration)
    _prepare_storage()
    if configuration.tls_cert is None:
        ensure_certificate(
            configuration.certificate, configuration.certificate_key, configuration.hostname, datetime.now(UTC)
        )
    warnings = _run_checks()
    backup, migrations = _migrate(configuration, copy_first=copy_first)
    administrator, password = _ensure_administrator(configuration.hostname)
    return Prepared(administrator, password, backup, migrations, warnings)


def make_folders(configuration: Configuration) -> None:
    """Makes the data folder and those in it, for this user alone. Raises PrepareError."""
    if (excess := len(os.fsencode(configuration.data)) - DATA_PATH_OCTETS) > 0:
        raise PrepareError(
            f"The path {configuration.data} is {excess} octets too long for the sockets in it. "
            "Set MAILSUITE_DATA to a folder with a shorter one."
        )
    for folder in (configuration.data, configuration.store_socket.parent):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise _not_writable(f"The folder {folder}", error) from None


def _prepare_storage() -> None:
    """Has the storage of messages make what it needs. Raises PrepareError."""
    try:
        mail_storage().prepare()
    except OSError as error:
        raise _not_writable(f"What holds the messages ({error.filename})", error) from None


def _not_writable(what: str, error: OSError) -> PrepareError:
    return PrepareError(
        f"{what} can't be written: {error.strerror}. "
        "Give it to the user that Mailsuite runs as, or set MAILSUITE_DATA to another folder."
    )


def _run_checks() -> tuple[str, ...]:
    """Runs Django's and our own system checks; returns the warnings. Raises PrepareError for an error."""
    messages = [message for message in checks.run_checks() if not message.is_silenced()]
    errors = [_line(message) for message in messages if message.level >= checks.ERROR]
    if errors:
        raise PrepareError("\n".join(errors))
    return tuple(_line(message) for message in messages if message.level >= checks.WARNING)


def _line(message: checks.CheckMessage) -> str:
    """A finding as one line of the log."""
    return " ".join(filter(None, (str(message.msg), str(message.hint or ""), f"({message.id})")))


def _migrate(configuration: Configuration, *, copy_first: bool) -> tuple[str, int]:
    """Applies what is not applied yet; returns where the copy of the database is ("" for none) and how many."""
    executor = MigrationExecutor(connection)
    if is_newer(executor.loader):
        raise PrepareError(NEWER)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return "", 0
    backup: Path | None = None
    if not executor.loader.applied_migrations:
        _make_private()
    if executor.loader.applied_migrations and copy_first:
        backup = _copy(configuration.data / "backups")
    what = "Changing the database" if executor.loader.applied_migrations else "Making the database"
    before = set(executor.loader.applied_migrations)
    try:
        with Progress(what, len(plan)) as said:
            call_command("migrate", verbosity=1, interactive=False, stdout=said)
    except BaseException:
        if backup and _applied() == before:
            # Nothing has changed: who starts again and again, as a unit does, would fill the disk with copies.
            backup.unlink(missing_ok=True)
        raise
    # Not before: who goes back wants the copy of this upgrade.
    prune_copies(configuration.data / "backups", configuration.database_copies)
    return str(backup or ""), len(plan)


def _applied() -> set[tuple[str, str]] | None:
    """The migrations that the database has; None where it can't say."""
    try:
        return set(MigrationRecorder(connection).applied_migrations())
    except DatabaseError:
        return None


def _make_private() -> None:
    """Takes a new SQLite database from others, who may look into a data folder that was there before; the log beside it
    is made with the same rights."""
    if connection.vendor == "sqlite":
        for path in (f"{connection.settings_dict['NAME']}{end}" for end in ("", "-wal", "-shm")):
            if os.path.exists(path):
                os.chmod(path, 0o600)


def _copy(folder: Path) -> Path:
    name = f"{mailsuite.__version__}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        remove_unfinished(folder)
        with Progress("Copying the database before it is changed"):
            return copy_database(connection, folder, name)
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(folder.parent).free // 2**20
        raise PrepareError(
            f"This version changes the database. The copy to make first, in {folder} ({free} MiB free), failed:\n"
            f"{error}\nCopy the database yourself and start once with `up --no-copy`, or remove the cause."
        ) from None


def _ensure_administrator(hostname: str) -> tuple[str, str]:
    """The first administrator's address and, when the account was made now, its password."""
    users = get_user_model().objects
    existing = users.filter(is_superuser=True).order_by("pk").first()
    if existing is not None:
        return existing.email, ""
    password = "-".join(secrets.token_hex(2) for _ in range(5))
    # It stands in a terminal's memory or in the journal.
    return users.create_superuser(f"admin@{hostname}", password, must_change_password=True).email, password
