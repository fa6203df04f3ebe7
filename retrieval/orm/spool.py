"""An APPEND's octets on their way: a file in the spool, which the store service makes durable and takes from there."""

import asyncio
import os
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from retrieval.mail_store import SpooledMessage, StoreUnavailable

# From here on the kernel may hold a writer back until the disk has caught up: not in the event loop.
INLINE_OCTETS = 1024 * 1024
NEEDED_FREE_OCTETS = 100 * 1024 * 1024


class SpoolFile:
    """One message being received. `finish` keeps the file for the store service, `discard` removes it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / secrets.token_hex(16)
        self._descriptor = -1
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    def open(self) -> "SpoolFile":
        """Makes the file. Raises StoreUnavailable, also while there is still some room, which deliveries need."""
        try:
            room = os.statvfs(self._path.parent)
            if room.f_bavail * room.f_frsize < NEEDED_FREE_OCTETS:
                raise StoreUnavailable("the disk is nearly full")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        return self

    async def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        try:
            if self._size <= INLINE_OCTETS:
                self._write(chunk)
            else:
                self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, chunk)
                # A session that ends amid this must not close the file under the thread.
                await asyncio.shield(self._writing)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error

    async def finish(self, flags: int, keywords: Sequence[str], internal_date: datetime | None) -> SpooledMessage:
        await self._close()
        return SpooledMessage(self._path.name, self._size, flags, tuple(keywords), internal_date)

    async def discard(self) -> None:
        await self._close()
        self._path.unlink(missing_ok=True)

    def _write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def _close(self) -> None:
        if self._writing:
            await asyncio.wait([self._writing])
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
