"""An APPEND's octets on their way to the store service.

A small message stays in memory and goes along with the operation; of a larger one a file is made in the spool, which
the service makes durable and takes from there. All work on files is done by threads: making one waits for what the file
system's journal is just writing, and the kernel may hold a writer back until the disk has caught up.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from mailsuite.server.octets import OctetBudget
from retrieval.mail_values import Refused, SpooledMessage, StoreUnavailable

GATHER_OCTETS = 64 * 1024
# The same while all connections together hold much.
PRESSED_GATHER_OCTETS = 8 * 1024
# What a piece costs beside its octets: a message that drips in tiny pieces must not cost many times its size.
PIECE_OCTETS = 64
NEEDED_FREE_OCTETS = 100 * 1024 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class SpoolFile:
    """One message being received. `finish` keeps it for the store service, `discard` leaves nothing of it."""

    def __init__(self, folder: Path, budget: OctetBudget) -> None:
        self._budget, self._held = budget, 0
        self._path = folder / secrets.token_hex(16)
        self._descriptor = -1
        self._size = 0
        self._gathered: list[bytes] = []
        self._gathered_octets = 0
        self._working: asyncio.Future[None] | None = None

    def open(self) -> "SpoolFile":
        """Refused as storage-full while there is little room, which deliveries need."""
        try:
            room = os.statvfs(self._path.parent)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        if room.f_bavail * room.f_frsize < NEEDED_FREE_OCTETS:
            raise Refused("storage-full", "the server has no room on its disk now")
        return self

    async def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._gathered.append(chunk)
        self._gathered_octets += len(chunk) + PIECE_OCTETS
        if self._gathered_octets >= (PRESSED_GATHER_OCTETS if self._budget.is_pressed else GATHER_OCTETS):
            await self._work(self._flush)
        self._count(self._gathered_octets)

    async def finish(self, flags: int, keywords: Sequence[str], internal_date: datetime | None) -> SpooledMessage:
        octets = b"".join(self._gathered) if self._descriptor < 0 else None
        self._count(0)
        if octets is None:
            try:
                await self._work(self._flush)
            except BaseException:
                await self.discard()
                raise
            await self._work(self._close)
        return SpooledMessage(self._path.name, self._size, flags, tuple(keywords), internal_date, octets)

    async def discard(self) -> None:
        self._count(0)
        if self._working:
            await asyncio.wait([self._working])
        if self._descriptor >= 0:
            await self._work(self._close)
            self._path.unlink(missing_ok=True)

    def _count(self, held: int) -> None:
        """Tell the budget what is held in memory."""
        if held > self._held:
            self._budget.take(held - self._held)
        elif held < self._held:
            self._budget.give(self._held - held)
        self._held = held

    async def _work(self, function: Callable[[], None]) -> None:
        """In a thread. A session that ends amid this must not close the file under its hands."""
        self._working = asyncio.get_running_loop().run_in_executor(None, function)
        try:
            await asyncio.shield(self._working)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error

    def _flush(self) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, _FLAGS, 0o600)
        view = memoryview(b"".join(self._gathered))
        self._gathered.clear()
        self._gathered_octets = 0
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
