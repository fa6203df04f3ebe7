"""Where the octets of messages are kept: what the suite asks of its storage, and the one that the settings name.

A **blob** is one message as it was received: written once, read by many, named by the storage and never by its content,
so that nothing that was deleted is ever revived. A **spool file** is a message on its way in, named by whoever receives
it; `adopt` makes it a blob. Nobody else joins a path or opens a file of either.

Another storage is a subclass of MailStorage in one module, named by STORAGES["mail"] in the settings, as Django's own
are; `tests/writer/test_storage.py` says what it must keep. This installation's is in mailsuite.writer.local_storage.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from mmap import mmap
from types import TracebackType
from typing import Self

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

from mailsuite.ids import new_id, reference

COPIED_AT_ONCE_OCTETS = 1 << 20
HOUR_SECONDS = 3600


class StoredFile(ABC):
    """An open blob, or an open spool file, which can be written to as well. May be used by one thread at a time, and by
    a forked child. Whatever fails raises OSError."""

    @property
    @abstractmethod
    def size_octets(self) -> int:
        """How many octets there are by now."""

    @abstractmethod
    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Octets [start, end), all from `start` on without an end; fewer where the file ends."""

    def read_at_once(self, start: int, end: int) -> bytes | None:
        """The same as far as it can be had without waiting, for event loops; None where nothing can be."""
        return None

    def mapped(self) -> AbstractContextManager[bytes | mmap]:
        """All octets, to be looked at from anywhere; a storage that can keeps them out of this process's memory."""
        return nullcontext(self.read())

    @abstractmethod
    def append(self, octets: bytes) -> None:
        """Write these behind what is there. Spool files only."""

    def append_rest(self, other: "StoredFile", start: int) -> None:
        """Write what the other file has from an offset on behind what is there. Spool files only."""
        while octets := other.read(start, start + COPIED_AT_ONCE_OCTETS):
            self.append(octets)
            start += len(octets)

    @abstractmethod
    def sync(self) -> None:
        """Return when what was written is durable, so that `adopt` need not wait for it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; to be called once. A spool file stays where it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@lru_cache(maxsize=2)
def _hour(number: int) -> str:
    """The folder of the hour with this number since 1970, in UTC; every message of an hour asks for it."""
    return f"{datetime.fromtimestamp(number * HOUR_SECONDS, UTC):%Y%m%d%H}"


class MailStorage(ABC):
    """The octets of all messages. Used by several processes at once; only the writer's adopts and discards, and the one
    that sweeps."""

    def new_name(self) -> str:
        """A name for a blob that is about to be adopted, HOUR/REFERENCE: what is filed together lies together."""
        return f"{_hour(int(time.time()) // HOUR_SECONDS)}/{reference(new_id())}"

    @abstractmethod
    def prepare(self) -> None:
        """Make what everything else expects. Raises OSError, with the name of what can't be used."""

    @abstractmethod
    def free_octets(self) -> int:
        """For how many octets there is room."""

    @abstractmethod
    def create_spooled(self, name: str) -> StoredFile:
        """An empty spool file of this name, to write to. Raises FileExistsError, or another OSError."""

    @abstractmethod
    def put_spooled(self, name: str, octets: bytes) -> None:
        """Make a spool file of these octets; one of this name that is there was left by a process that died. Leaves
        none when it raises OSError. Raises ValueError for what is no name of a spool file."""

    @abstractmethod
    def open_spooled(self, name: str) -> StoredFile:
        """The spool file, to read. Raises FileNotFoundError, or another OSError, and ValueError for what is no name of
        one: it may come from another process."""

    @abstractmethod
    def discard_spooled(self, names: Iterable[str]) -> None:
        """Remove these spool files, those that are still there."""

    @abstractmethod
    def spooled_before(self, moment: datetime) -> Iterator[str]:
        """The spool files that nobody has written to since, in no order."""

    @abstractmethod
    def adopt(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Make spool files blobs: pairs of (spool name, blob name). When this returns they are durable, in whatever
        way the storage can promise that. Raises OSError: FileNotFoundError for a spool file that is gone. Some may be
        blobs then, which no row names, and which the sweep removes."""

    @abstractmethod
    def open(self, name: str) -> StoredFile:
        """The blob, to read; quick enough for an event loop. Raises FileNotFoundError, or another OSError."""

    @abstractmethod
    def discard(self, names: Iterable[str]) -> None:
        """Remove these blobs, those that are still there."""

    @abstractmethod
    def blobs_before(self, moment: datetime) -> Iterator[str]:
        """The names of all blobs last written to before that, those of an hour together."""

    def tidy(self, moment: datetime) -> None:
        """Remove what blobs that were adopted before that have left behind when they were discarded."""
        return None


def mail_storage() -> MailStorage:
    """This process's storage of messages, as the settings say."""
    storage = storages["mail"]
    if not isinstance(storage, MailStorage):
        raise ImproperlyConfigured('STORAGES["mail"] must name a mailsuite.writer.storage.MailStorage.')
    return storage
