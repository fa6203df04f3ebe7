"""The storage on this machine's disk: one file for each message, filed from the spool by a rename.

Blobs lie in folders by the hour of their arrival, so that one fsync of a folder serves a whole batch; the spool lies
beside these, on the same file system.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from mmap import PROT_READ, mmap

from mailsuite.writer.storage import COPIED_AT_ONCE_OCTETS, MailStorage, StoredFile

# Of how many files the writing is begun, and awaited, together.
FSYNCED_AT_ONCE = 64
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW


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


class LocalFile(StoredFile):
    """A file of this machine, by its descriptor."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def size_octets(self) -> int:
        """As the file system knows it."""
        return os.fstat(self._descriptor).st_size

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """One pread(2): of more than 2 GiB, the most that it reads."""
        return os.pread(self._descriptor, (self.size_octets if end is None else end) - start, start)

    def read_at_once(self, start: int, end: int) -> bytes | None:
        """What the kernel has in memory (preadv2(2), RWF_NOWAIT)."""
        buffer = bytearray(end - start)
        try:
            count = os.preadv(self._descriptor, [buffer], start, os.RWF_NOWAIT)
        except OSError:  # not in memory, or a file system that can't tell
            return None
        return bytes(buffer) if count == len(buffer) else bytes(buffer[:count])

    @contextmanager
    def mapped(self) -> Iterator[bytes | mmap]:
        """Memory in use is bounded by the file's pages, which the kernel may drop."""
        if not self.size_octets:
            yield b""  # which can't be mapped
            return
        with mmap(self._descriptor, 0, prot=PROT_READ) as octets:
            yield octets

    def append(self, octets: bytes) -> None:
        """As many write(2) as it takes: a disk that fills up may take a part."""
        view = memoryview(octets)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def append_rest(self, other: StoredFile, start: int) -> None:
        """Between two of these files the kernel copies (copy_file_range(2)), perhaps without any writing."""
        if not isinstance(other, LocalFile):
            return super().append_rest(other, start)
        while copied := os.copy_file_range(other._descriptor, self._descriptor, COPIED_AT_ONCE_OCTETS, start):
            start += copied
        return None

    def sync(self) -> None:
        """By fsync(2), whose error is told but once: whoever gets it must not ask again."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor, which may be another file's from then on."""
        os.close(self._descriptor)


class LocalStorage(MailStorage):
    """Messages below the folder `location`, which is made when it is missing."""

    def __init__(self, location: os.PathLike[str] | str) -> None:
        self.location = os.fspath(location)
        self._spool = f"{self.location}/spool"
        self._known_folders: set[str] = set()

    def prepare(self) -> None:
        """Make the folders, for this user alone, and try that they can be written."""
        os.makedirs(self.location, mode=0o700, exist_ok=True)
        _make_folder(self._spool)
        probe = f"{self._spool}/.probe"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | _OPEN, 0o600))
        os.unlink(probe)
        fsync_folder(self.location)
        fsync_folder(os.path.dirname(os.path.abspath(self.location)))

    def free_octets(self) -> int:
        """What the file system has left for this user."""
        status = os.statvfs(self.location)
        return status.f_bavail * status.f_frsize

    def create_spooled(self, name: str) -> StoredFile:
        """A new file in the spool, for this user alone."""
        return LocalFile(os.open(self._spooled(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN, 0o600))

    def put_spooled(self, name: str, octets: bytes) -> None:
        """The same, written in one go and closed."""
        path = self._spooled(name)
        with LocalFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _OPEN, 0o600)) as file:
            try:
                file.append(octets)
            except BaseException:
                os.unlink(path)
                raise

    def open_spooled(self, name: str) -> StoredFile:
        """The file of this name in the spool; a symbolic link there is an error."""
        return LocalFile(os.open(self._spooled(name), os.O_RDONLY | _OPEN))

    def discard_spooled(self, names: Iterable[str]) -> None:
        """Unlink them; their octets go when nobody has them open."""
        _unlink(map(self._spooled, names))

    def spooled_before(self, moment: datetime) -> Iterator[str]:
        """By the files' times of modification."""
        for entry in os.scandir(self._spool):
            if entry.is_file(follow_symlinks=False) and _is_older(entry, moment):
                yield entry.name

    def adopt(self, pairs: Iterable[tuple[str, str]]) -> None:
        """They are renamed first: a journal then commits a file and its entry as one, and all that the power takes away
        before this returns is what no row names."""
        names: list[str] = []
        for spooled, name in pairs:
            self._make_hour(name.partition("/")[0])
            os.rename(f"{self._spool}/{spooled}", f"{self.location}/{name}")
            names.append(name)
        for start in range(0, len(names), FSYNCED_AT_ONCE):
            fsync_files([f"{self.location}/{name}" for name in names[start : start + FSYNCED_AT_ONCE]])
        for hour in {name.partition("/")[0] for name in names}:
            fsync_folder(f"{self.location}/{hour}")

    def open(self, name: str) -> StoredFile:
        """The file in its hour's folder."""
        return LocalFile(os.open(f"{self.location}/{name}", os.O_RDONLY | os.O_CLOEXEC))

    def discard(self, names: Iterable[str]) -> None:
        """Unlink them; sessions that have one open read on."""
        _unlink(f"{self.location}/{name}" for name in names)

    def blobs_before(self, moment: datetime) -> Iterator[str]:
        """By the files' times of modification, one folder after another."""
        for hour in self._hours():
            for entry in os.scandir(f"{self.location}/{hour}"):
                if _is_older(entry, moment):
                    yield f"{hour}/{entry.name}"

    def tidy(self, moment: datetime) -> None:
        """Remove the folders of hours before that in which nothing is left."""
        for hour in self._hours():
            if hour < f"{moment:%Y%m%d%H}":
                try:
                    os.rmdir(f"{self.location}/{hour}")
                except OSError:  # it holds blobs
                    continue

    def _hours(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self.location) if entry.is_dir() and entry.name.isdigit())

    def _make_hour(self, hour: str) -> None:
        if hour in self._known_folders:
            return
        _make_folder(f"{self.location}/{hour}")
        # Also when it was there: whoever made it may have died before this.
        fsync_folder(self.location)
        self._known_folders.add(hour)

    def _spooled(self, name: str) -> str:
        """The path of a spool file, which may not leave the spool."""
        if "/" in name or name.startswith("."):
            raise ValueError(f"{name!r} is no name of a spool file")
        return f"{self._spool}/{name}"


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass


def _is_older(entry: "os.DirEntry[str]", moment: datetime) -> bool:
    try:
        return entry.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:  # adopted or discarded since
        return False


def _unlink(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
