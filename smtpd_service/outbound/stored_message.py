"""A queued message's octets: our prefix and the blob's, in chunks, off the event loop where they are many."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

CHUNK_OCTETS = 256 * 1024


class StoredMessage:
    """What is sent: `prefix`, then the file at `path`."""

    def __init__(self, path: Path | str, prefix: bytes, size_octets: int) -> None:
        self._path, self._prefix, self._size_octets = path, prefix, size_octets

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises OSError."""
        if self._size_octets <= CHUNK_OCTETS:
            yield self._prefix + _read_all(self._path)
            return
        yield self._prefix
        with await asyncio.to_thread(open, self._path, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_OCTETS):
                yield chunk

    def has_ascii_header(self) -> bool:
        """Whether trace and header, or as much of it as the first chunk shows, are ASCII: then they don't need SMTPUTF8
        (RFC 6531 §3.4). Raises OSError."""
        if not self._prefix.isascii():
            return False
        with open(self._path, "rb") as file:
            head = file.read(CHUNK_OCTETS)
        return head[: head.find(b"\r\n\r\n") % (len(head) + 1)].isascii()


def _read_all(path: Path | str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
