"""Octets of blobs, read in pieces without keeping the event loop waiting for the disk."""

import asyncio

from mailsuite.writer.storage import MailStorage, StoredFile
from retrieval.mail_values import Refused, StoreUnavailable

# What is read in one call: longer requests are put together from such pieces.
PIECE_OCTETS = 256 * 1024


async def read_range(storage: MailStorage, name: str, start: int, end: int) -> bytes:
    """Octets [start, end) of the blob, fewer at its end. Raises Refused when it is gone, StoreUnavailable.

    What can be had at once is read at once; for the rest a thread waits.
    """
    try:
        with storage.open(name) as blob:
            pieces = []
            while start < end:
                piece = await _piece(blob, start, min(end, start + PIECE_OCTETS))
                if not piece:
                    break
                pieces.append(piece)
                start += len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except FileNotFoundError:
        raise Refused("nonexistent", "the message is gone") from None
    except OSError as error:
        raise StoreUnavailable(str(error)) from error


async def _piece(blob: StoredFile, start: int, end: int) -> bytes:
    piece = blob.read_at_once(start, end)
    if piece is None:
        piece = await asyncio.get_running_loop().run_in_executor(None, blob.read, start, end)
    return piece
