"""A queued message's octets: our prefix and the blob's, in chunks, off the event loop where they are many."""

import asyncio
from collections.abc import AsyncIterator

from mailsuite.writer.storage import MailStorage

CHUNK_OCTETS = 256 * 1024


class StoredMessage:
    """What is sent: `prefix`, then the blob of this name."""

    def __init__(self, storage: MailStorage, blob: str, prefix: bytes, size_octets: int) -> None:
        self._storage, self._blob = storage, blob
        self._prefix, self._size_octets = prefix, size_octets

    async def chunks(self) -> AsyncIterator[bytes]:
        """The message from its beginning. Raises OSError."""
        if self._size_octets <= CHUNK_OCTETS:
            with self._storage.open(self._blob) as blob:
                octets = self._prefix + blob.read()
            yield octets
            return
        yield self._prefix
        start = 0
        with await asyncio.to_thread(self._storage.open, self._blob) as blob:
            while chunk := await asyncio.to_thread(blob.read, start, start + CHUNK_OCTETS):
                yield chunk
                start += len(chunk)

    def has_ascii_header(self) -> bool:
        """Whether trace and header, or as much of it as the first chunk shows, are ASCII: then they don't need SMTPUTF8
        (RFC 6531 §3.4). Raises OSError."""
        if not self._prefix.isascii():
            return False
        with self._storage.open(self._blob) as blob:
            head = blob.read(0, CHUNK_OCTETS)
        return head[: head.find(b"\r\n\r\n") % (len(head) + 1)].isascii()
