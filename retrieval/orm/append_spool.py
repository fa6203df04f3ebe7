"""An APPEND's message on its way to the writer: the spool, in the words and with the errors that sessions know."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from mailsuite.writer.spool import Spool
from retrieval.mail_values import Refused, SpooledMessage, StoreUnavailable

# Less is left to deliveries, which bounce where there is no room at all.
NEEDED_FREE_OCTETS = 100 * 1024 * 1024


class AppendSpool:
    """One message being appended. `finish` keeps it for the writer, `discard` leaves nothing of it. Refused as
    storage-full while there is little room; raises StoreUnavailable."""

    def __init__(self, spool: Spool) -> None:
        with _files_may_fail():
            if spool.free_octets() < NEEDED_FREE_OCTETS:
                raise Refused("storage-full", "the server has no room on its disk now")
        self._file = spool.new_file()

    async def write(self, chunk: bytes) -> None:
        """Append octets of the message."""
        with _files_may_fail():
            await self._file.write(chunk)

    async def finish(self, flags: int, keywords: Sequence[str], internal_date: datetime | None) -> SpooledMessage:
        """What is to be appended, as these: the spool file, if there is one, is the writer's from now on."""
        try:
            with _files_may_fail():
                octets = await self._file.finish()
        except BaseException:
            self._file.discard()
            raise
        self._file.release()
        return SpooledMessage(self._file.name, self._file.size_octets, flags, tuple(keywords), internal_date, octets)

    async def discard(self) -> None:
        """Remove what was written; the message does not come."""
        self._file.discard()


@contextmanager
def _files_may_fail() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
