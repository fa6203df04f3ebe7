"""Blobs: one immutable file for each reception, behind Django's storages, filed from the spool by rename.

Names are `HOUR/REFERENCE`: folders fan out by time, so that one fsync of a folder serves a whole batch. A blob is
never named by its content: nothing that was deleted is ever revived.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage, storages

from mailsuite.ids import new_id, reference

# Of how many files the writing is begun, and awaited, together.
FSYNCED_AT_ONCE = 64


def fsync_files(paths: Sequence[str]) -> None:
    """Makes the files' octets durable. The writing of several is begun before any is waited for, so that the file
    system's journal is committed once for all, and not once for each."""
    with ExitStack() as open_files:
        descriptors: list[int] = []
        for path in paths:
            descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            open_files.callback(os.close, descriptors[-1])
        for descriptor in descriptors if len(descriptors) > 1 else ():
            # Begins the writing of what is not written yet; what is under way stays in memory.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for descriptor in descriptors:
            os.fsync(descriptor)


def fsync_folder(path: os.PathLike[str] | str) -> None:
    """Makes the folder's entries durable: a rename is not until then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalBlobs(FileSystemStorage):
    """Django's file storage with `adopt`, which files a batch of spooled messages durably."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known_folders: set[str] = set()

    @cached_property
    def spool(self) -> Path:
        """Files being received, on the same file system, so that adopting one is a rename."""
        return Path(self.location) / "spool"

    @cached_property
    def _spool(self) -> str:
        """The same as text: building Paths is a tenth of the writer's time."""
        return str(self.spool)

    def prepare(self) -> None:
        """Makes the folders that everything else expects."""
        self.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        fsync_folder(self.location)
        fsync_folder(Path(self.location).parent)

    def new_name(self) -> str:
        return f"{datetime.now(UTC):%Y%m%d%H}/{reference(new_id())}"

    def adopt(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Renames spool files to blobs: pairs of (spool name, blob name). When this returns their octets and their
        entries are durable.

        They are renamed first: a journal then commits a file and its entry as one, and all that the power takes away
        before this returns is what no row names. Raises FileNotFoundError for a spool file that is gone; those renamed
        before are such blobs, which the sweep removes.
        """
        names: list[str] = []
        for spooled, name in pairs:
            self._make_folder(name.partition("/")[0])
            os.rename(f"{self._spool}/{spooled}", f"{self.location}/{name}")
            names.append(name)
        for start in range(0, len(names), FSYNCED_AT_ONCE):
            fsync_files([f"{self.location}/{name}" for name in names[start : start + FSYNCED_AT_ONCE]])
        for folder in {name.partition("/")[0] for name in names}:
            fsync_folder(os.path.join(self.location, folder))

    def discard(self, names: Iterable[str]) -> None:
        """Removes blobs whose rows were never committed."""
        for name in names:
            try:
                os.unlink(os.path.join(self.location, name))
            except FileNotFoundError:
                continue

    def open_spooled(self, spooled: str, octets: bytes | None = None) -> int:
        """A descriptor of the spool file, which is made of the octets if they are given. The name comes from another
        process, so it may not leave the spool."""
        if "/" in spooled or spooled.startswith("."):
            raise ValueError(f"{spooled!r} is no name of a spool file")
        # One that is there already was left by a store that died.
        flags = os.O_RDONLY if octets is None else os.O_RDWR | os.O_CREAT | os.O_TRUNC
        path = f"{self._spool}/{spooled}"
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(octets or b"")
            while view:
                view = view[os.write(descriptor, view) :]
        except BaseException:
            os.close(descriptor)
            os.unlink(path)
            raise
        return descriptor

    def spooled_octets(self, spooled: str) -> bytes:
        """What a small spool file holds."""
        descriptor = self.open_spooled(spooled)
        try:
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)

    def _make_folder(self, folder: str) -> None:
        if folder in self._known_folders:
            return
        path = os.path.join(self.location, folder)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        # Also when it was there: whoever made it may have died before this.
        fsync_folder(self.location)
        self._known_folders.add(folder)


def mail_storage() -> LocalBlobs:
    storage = storages["mail"]
    assert isinstance(storage, LocalBlobs)
    return storage
