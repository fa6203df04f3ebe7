"""Messages on their way in: files in the spool folder, which the store service adopts by renaming them.

Names can't be guessed, files are nobody else's to read. A small message stays in memory until its end and is written
at once; what a large one gathers is written by a thread, so that a slow disk stalls no other session. Nothing is
fsynced here: the store service does that for a whole batch. What a process that died leaves behind it sweeps too.
"""

import asyncio
import contextlib
import os
import secrets
import time
from pathlib import Path

GATHER_OCTETS = 128 * 1024
HEAD_OCTETS = 256 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Spool:
    """The folder, and how much room it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._free = 0
        self._free_until = 0.0

    def free_octets(self) -> int:
        """Return what is free on the file system, as it was at most a second ago."""
        now = time.monotonic()
        if now >= self._free_until:
            stat = os.statvfs(self.folder)
            self._free, self._free_until = stat.f_bavail * stat.f_frsize, now + 1
        return self._free

    def new_file(self) -> "SpoolFile":
        """Return an empty message to write to."""
        return SpoolFile(self.folder)


class SpoolFile:
    """One message being received. `head` is its beginning, up to HEAD_OCTETS, where its header is found; `eight_bit`
    tells whether it holds octets that are not ASCII."""

    def __init__(self, folder: str) -> None:
        self.name = secrets.token_hex(16)
        self.path = f"{folder}/{self.name}"
        self.size_octets = 0
        self.head = b""
        self.eight_bit = False
        self._descriptor: int | None = None
        self._gathered: list[bytes] = []
        self._gathered_octets = 0

    async def write(self, octets: bytes) -> None:
        """Append octets."""
        if not octets:
            return
        if len(self.head) < HEAD_OCTETS:
            self.head = self.head + octets if self.head else octets
        self.size_octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self._gathered.append(octets)
        self._gathered_octets += len(octets)
        if self._gathered_octets >= GATHER_OCTETS:
            await asyncio.to_thread(self._flush)

    async def finish(self) -> None:
        """Write what is left and close. The name is the store's from now on."""
        if self._descriptor is None:
            self._flush()
        else:
            await asyncio.to_thread(self._flush)
        self._close()

    @property
    def whole(self) -> bytes | None:
        """The content, as long as nothing of it has been written."""
        return b"".join(self._gathered) if self._descriptor is None else None

    def replace(self, octets: bytes) -> None:
        """Put other octets in place of the content that has not been written yet."""
        assert self._descriptor is None
        self._gathered, self._gathered_octets, self.size_octets = [octets], len(octets), len(octets)

    def discard(self) -> None:
        """Remove what was written."""
        self._gathered.clear()
        if self._descriptor is not None:
            self._close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _flush(self) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, _FLAGS, 0o600)
        octets = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_octets = 0
        view = memoryview(octets)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
