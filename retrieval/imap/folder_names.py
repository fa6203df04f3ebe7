"""Folders as commands name them: finding one, and what a new one may be called."""

from retrieval.imap.context import Context
from retrieval.imap.errors import CommandRefused
from retrieval.imap.grammar import DELIMITER, Scanner
from retrieval.mail_values import FolderStatus

MAX_NAME_CHARACTERS = 1_000
MAX_LEVELS = 50


def parse_name(scanner: Scanner) -> str:
    """Take a space and a folder's name, decoded. Raises BadCommand or CommandRefused."""
    scanner.space()
    return scanner.folder_name()


async def status_of(context: Context, name: str) -> FolderStatus:
    """Return a selectable folder's status. Raises CommandRefused when there is none of that name."""
    status = await context.store.status(name)
    if status is None:
        raise CommandRefused("NONEXISTENT", "There is no such folder, or it only holds others")
    return status


def check_name(name: str) -> None:
    """Raises CommandRefused for a name that no folder can have."""
    parts = name.split(DELIMITER)
    if not all(parts) or len(name) > MAX_NAME_CHARACTERS or len(parts) > MAX_LEVELS:
        raise CommandRefused("CANNOT", "A folder's name, or a part of it, is empty or too long")


def check_new_name(name: str) -> None:
    """Raises CommandRefused for a name that no new folder can have."""
    check_name(name)
    if name == "INBOX":
        raise CommandRefused("ALREADYEXISTS", "INBOX exists already")
