"""Messages on their way in: files in the spool folder, which the store service adopts by renaming them.

Names can't be guessed, files are nobody else's to read. A small message stays in memory and goes to the store with
what is to be done with it: making a file here would have all sessions wait for whatever the file system's journal is
just writing. What a large one gathers is written by a thread. Nothing is fsynced here: the store service does that for
a whole batch. What a process that died leaves behind it sweeps too.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mailsuite.mail.header import MAX_HEADER_OCTETS, header_end
from mailsuite.server.octets import OctetBudget

GATHER_OCTETS = 128 * 1024
# The same while all sessions together hold much.
PRESSED_GATHER_OCTETS = 16 * 1024
# What a piece costs beside its octets: content that drips in tiny pieces must not cost many times its size.
PIECE_OCTETS = 64
HEAD_OCTETS = MAX_HEADER_OCTETS
HELD_HEAD_OCTETS = 128 * 1024  # of a head are held also while all sessions together hold much
CHUNK_OCTETS = 256 * 1024
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


async def undisturbed(function: Callable[[], None]) -> None:
    """Run the function in a thread. When the task is cancelled meanwhile, that is heeded once the thread is done:
    it works on a descriptor, which must not be closed, and be another file's, under its hands."""
    running = asyncio.ensure_future(asyncio.to_thread(function))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    if cancelled:
        raise cancelled
    running.result()


class Spool:
    """The folder, and how much room it has. `budget` counts what messages hold in memory."""

    def __init__(self, folder: Path, budget: OctetBudget | None = None) -> None:
        self.folder = str(folder)
        self.budget = budget or OctetBudget()
        self._free = 0
        self._free_until = 0.0

    def free_octets(self) -> int:
        """Return what is free on the file system, as it was at most a second ago."""
        now = time.monotonic()
        if now >= self._free_until:
            stat = os.statvfs(self.folder)
            self._free, self._free_until = stat.f_bavail * stat.f_frsize, now + 1
        return self._free

    def holding(self, octets: bytes) -> "SpoolFile":
        """Return a message that is at hand, and stays in memory however large it is."""
        file = self.new_file()
        file.hold(octets)
        return file

    def new_file(self) -> "SpoolFile":
        """Return an empty message to write to."""
        return SpoolFile(self.folder, self.budget)


class SpoolFile:
    """One message being received. `eight_bit` tells whether it holds octets that are not ASCII."""

    def __init__(self, folder: str, budget: OctetBudget) -> None:
        self._folder, self._budget = folder, budget
        self.name = secrets.token_hex(16)
        self.path = f"{folder}/{self.name}"
        self.size_octets = 0
        self._head: bytes | None = None
        self._held = 0
        self.eight_bit = False
        self._descriptor: int | None = None
        self._gathered: list[bytes] = []
        self._gathered_octets = 0

    async def write(self, octets: bytes) -> None:
        """Append octets."""
        if not octets:
            return
        self.size_octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self._gathered.append(octets)
        self._gathered_octets += len(octets) + PIECE_OCTETS
        if self._gathered_octets >= (PRESSED_GATHER_OCTETS if self._budget.is_pressed else GATHER_OCTETS):
            await undisturbed(self._flush)
        self._count()

    def hold(self, octets: bytes) -> None:
        """Append octets that stay in memory."""
        self.size_octets += len(octets)
        self.eight_bit = self.eight_bit or not octets.isascii()
        self._gathered.append(octets)
        self._gathered_octets += len(octets)
        self._count()

    async def finish(self) -> bytes | None:
        """The octets of a small message, for which no file is made. Otherwise write what is left, close and return
        None: the name is the store's from now on. What is held in memory counts until `release`."""
        if self._descriptor is None:
            octets = b"".join(self._gathered)
            self._gathered = [octets]
            return octets
        await undisturbed(self._flush)
        self._close()
        return None

    @property
    def head(self) -> bytes:
        """Its beginning as it was received: the header and the blank line behind it, HEAD_OCTETS of them at most. Kept
        from the first time that somebody asks."""
        if self._head is None:
            self._head = self._read_head()
            self._count()
        return self._head

    @property
    def is_small(self) -> bool:
        """Whether it is all in memory still, so that working on it stalls nobody."""
        return self._descriptor is None

    def chunks(self, start: int) -> Iterator[bytes]:
        """Yield the content from an offset on. Reads from the disk unless `is_small`: call it in a thread then."""
        if self._descriptor is None:
            yield b"".join(self._gathered)[start:]
            return
        self._flush()
        while octets := os.pread(self._descriptor, CHUNK_OCTETS, start):
            yield octets
            start += len(octets)

    def replace_head(self, length: int, octets: bytes) -> None:
        """Put other octets in place of the first `length`. Copies unless `is_small`: call it in a thread then, and ask
        for the `head` before."""
        self.size_octets += len(octets) - length
        if self._descriptor is None:
            self._gathered = [octets, b"".join(self._gathered)[length:]]
            return
        self._flush()
        old, old_path = self._descriptor, self.path
        self.name = secrets.token_hex(16)
        self.path = f"{self._folder}/{self.name}"
        self._descriptor, self._gathered = None, [octets]
        try:
            self._flush()
            assert self._descriptor is not None
            while copied := os.copy_file_range(old, self._descriptor, 1 << 20, length):
                length += copied
        finally:
            os.close(old)
            os.unlink(old_path)

    def end_header(self, at: int) -> None:
        """Put a blank line at this offset of the `head`, which is looked for anew. Copies like `replace_head`."""
        self.replace_head(at, self.head[:at] + b"\r\n")
        self._head = None

    def discard(self) -> None:
        """Remove what was written."""
        self.release()
        if self._descriptor is not None:
            self._close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def release(self) -> None:
        """Hold nothing in memory any longer."""
        self._gathered.clear()
        self._gathered_octets, self._head = 0, self._head and b""
        self._count()

    def _count(self) -> None:
        """Tell the budget; not in a thread."""
        held = self._gathered_octets + len(self._head or b"")
        if held > self._held:
            self._budget.take(held - self._held)
        elif held < self._held:
            self._budget.give(self._held - held)
        self._held = held

    def _read_head(self) -> bytes:
        octets = b"" if self._descriptor is None else os.pread(self._descriptor, HEAD_OCTETS, 0)
        if len(octets) < HEAD_OCTETS:
            octets += b"".join(self._gathered)[: HEAD_OCTETS - len(octets)]
        return octets[: header_end(octets, 0, len(octets))]

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
