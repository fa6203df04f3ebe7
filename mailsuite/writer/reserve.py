"""Room that is kept for making room: some files of no content, given up piece by piece when the disk is full.

To delete a message takes room first, in the database's log. What takes room for good (deliveries, APPEND) is refused
long before; the pieces go to those who delete, and are made again when there is plenty.
"""

import errno
import logging
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

logger = logging.getLogger(__name__)

PIECES = 8
PIECE_OCTETS = 4 * 1024 * 1024
# More than what deliveries leave free (256 MiB): the reserve is made of what nobody may use.
PLENTY_OCTETS = 384 * 1024 * 1024
# Below this nothing is filed, whoever asks: what deletions were given must not be filled with mail.
KEPT_FREE_OCTETS = 2 * PIECES * PIECE_OCTETS
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Reserve:
    """The pieces in `folder`, on the file system where the database writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def free_octets(self) -> int:
        """What the file system has left for us."""
        status = os.statvfs(self._folder.parent)
        return status.f_bavail * status.f_frsize

    def make(self) -> None:
        """Makes the pieces that are missing, as long as there is plenty of room."""
        try:
            for path in self._paths():
                if not path.exists() and self.free_octets() >= PLENTY_OCTETS:
                    self._folder.mkdir(mode=0o700, exist_ok=True)
                    _fill(path)
        except OSError as error:
            logger.warning("the reserve for a full disk can't be made: %s", error)

    def release(self) -> bool:
        """Gives up one piece; False when there is none left."""
        for path in self._paths():
            try:
                path.unlink()
            except OSError:
                continue
            left = sum(path.exists() for path in self._paths())
            logger.error("the disk is full: %d MiB of its reserve are left for deletions", left * PIECE_OCTETS >> 20)
            return True
        return False

    def _paths(self) -> Iterator[Path]:
        return (self._folder / str(number) for number in range(PIECES))


def _fill(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, PIECE_OCTETS)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def reserve() -> Reserve:
    """This installation's."""
    database = connections[DEFAULT_DB_ALIAS]
    is_file = database.vendor == "sqlite"
    folder = Path(database.settings_dict["NAME"]).parent if is_file else settings.MAILSUITE.data
    return Reserve(folder / "reserve")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether this, or what it came from, says that the disk is full."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    # SQLITE_FULL; PostgreSQL's disk_full.
    code: Any = getattr(error, "sqlite_errorname", "") or getattr(error, "sqlstate", "")
    return code in ("SQLITE_FULL", "53100") or is_disk_full(error.__cause__)
