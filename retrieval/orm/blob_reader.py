"""Octets of blobs, read in pieces without keeping the event loop waiting for the disk."""

import asyncio
import os

from retrieval.mail_store import Refused, StoreUnavailable

# What is read in one call: longer requests are put together from such pieces.
PIECE_OCTETS = 256 * 1024


async def read_range(path: str, start: int, end: int) -> bytes:
    """Octets [start, end) of the file, fewer at its end. Raises Refused when it is gone, StoreUnavailable.

    What the kernel has in memory is read at once; for the rest a thread waits (preadv2(2), RWF_NOWAIT).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Refused("nonexistent", "the message is gone") from None
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    try:
        pieces = []
        while start < end:
            piece = await _piece(descriptor, start, min(end - start, PIECE_OCTETS))
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    finally:
        os.close(descriptor)


async def _piece(descriptor: int, start: int, count: int) -> bytes:
    buffer = bytearray(count)
    try:
        got = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
    except OSError:  # not in memory, or a file system that can't tell
        return await asyncio.get_running_loop().run_in_executor(None, os.pread, descriptor, count, start)
    return bytes(buffer) if got == count else bytes(buffer[:got])
