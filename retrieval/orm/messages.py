"""Messages of a session's mailbox: their states and rows, their octets, their flags; filing and expunging them."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from itertools import groupby, islice
from operator import attrgetter

from mailsuite.access.authentication import Authentication
from mailsuite.store import operations
from retrieval.mail_store import Spool
from retrieval.mail_values import (
    FlagMode,
    FolderChanges,
    MessageRow,
    MessageState,
    Refused,
    RowField,
    SpooledMessage,
)
from retrieval.orm import reads
from retrieval.orm.append_spool import AppendSpool
from retrieval.orm.backend import Backend
from retrieval.orm.blob_reader import read_range
from retrieval.orm.mailbox import OpenMailbox

# Messages whose places (blob and prefix) are looked up together.
PLACES = 100
# A slice of messages takes about so many octets; how many rows that are shows from the first few on.
ROWS_OCTETS = 4 * 1024 * 1024
FIRST_ROWS = 25


class OrmMessages(OpenMailbox):
    """MessageStore (retrieval.mail_store) over the reader, the blobs and the store service, but for copies and search.

    The last slice of rows is remembered, so that the places of its messages are looked up in one query."""

    def __init__(self, backend: Backend, authentication: Authentication) -> None:
        super().__init__(backend, authentication)
        self._slice: Sequence[MessageRow] = ()
        self._places: dict[int, tuple[str, bytes]] = {}

    # Reading

    async def states(self, folder_id: int, *, since_modseq: int = 0) -> FolderChanges:
        """What is newer, in one query if that is little, else in slices of one moment."""
        if since_modseq:
            changes = await self._read(reads.changes_since, self._mailbox_id, folder_id, since_modseq)
            if changes is not None:
                return changes
        start = await self._read(reads.begin_states, self._mailbox_id, folder_id, since_modseq)
        states: list[MessageState] = []
        while True:
            after = states[-1].uid if states else 0
            portion = await self._read(reads.more_states, folder_id, since_modseq, after, start.uid_next)
            states += portion
            if len(portion) < reads.STATE_ROWS:
                return FolderChanges(start.highest_modseq, start.uid_next, states, start.expunged)
            await asyncio.sleep(0)

    async def rows(
        self, folder_id: int, uids: Sequence[int], fields: Collection[RowField]
    ) -> AsyncIterator[list[MessageRow]]:
        """Slices of so many rows as take ROWS_OCTETS together; one that is large comes by itself."""
        start, count = 0, min(FIRST_ROWS, reads.MESSAGE_ROWS)
        while start < len(uids):
            portion = uids[start : start + count]
            rows = await self._read(reads.message_rows, self._mailbox_id, folder_id, portion, fields)
            start += count
            # Rows may be large, and all of a slice are held at once.
            count = min(reads.MESSAGE_ROWS, max(1, count * ROWS_OCTETS // (_octets(rows) + 1)))
            for large, group in groupby(rows, attrgetter("is_large")):
                if large:
                    async for whole in self._whole_rows(folder_id, group, fields):
                        yield whole
                else:
                    self._slice = list(group)
                    yield self._slice
            # Others have their turn, however long the folder.
            await asyncio.sleep(0)

    async def _whole_rows(
        self, folder_id: int, rows: Iterable[MessageRow], fields: Collection[RowField]
    ) -> AsyncIterator[list[MessageRow]]:
        """Each by itself, since one may have megabytes."""
        for row in rows:
            whole = await self._read(reads.message_rows, self._mailbox_id, folder_id, [row.uid], fields)
            if whole:
                self._slice = whole
                yield whole
            await asyncio.sleep(0)

    async def octets(self, row: MessageRow, start: int, end: int) -> bytes:
        """What stands in front of the stored message, then the stored octets."""
        blob, prefix = await self._place(row)
        octets = await read_range(self._backend.storage, blob, max(0, start - len(prefix)), end - len(prefix))
        return prefix[start:end] + octets if start < len(prefix) else octets

    async def _place(self, row: MessageRow) -> tuple[str, bytes]:
        """Where the message's octets are. Those that were read with it are looked up in the same query."""
        place = self._places.get(row.message_id)
        if place is None:
            following = (other.message_id for other in self._slice if other.uid > row.uid)
            wanted = [row.message_id, *islice(following, PLACES - 1)]
            self._places = await self._read(reads.places, self._mailbox_id, wanted)
            place = self._places.get(row.message_id)
        if place is None:
            raise Refused("nonexistent", "the message is gone")
        return place

    # Writing

    async def spool(self) -> Spool:
        """Room for one message: a spool file is made once it is too large to be held."""
        return AppendSpool(self._backend.spool)

    async def append(self, folder_id: int, items: Sequence[SpooledMessage]) -> tuple[int, Sequence[int]]:
        """File the messages in one commit; their files are gone then, whatever came of it."""
        appended = [
            operations.AppendItem(
                *(item.spool, item.size_octets, item.flags, list(item.keywords), item.internal_date, item.octets)
            )
            for item in items
        ]
        try:
            answer = await self._run(
                operations.Append(self._mailbox_id, folder_id, appended, self.principal.quota_octets)
            )
        finally:
            self._backend.storage.discard_spooled([item.spool for item in items if item.octets is None])
        return answer.uid_validity, answer.uids

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        mode: FlagMode,
        flags: int,
        keywords: Sequence[str],
        unchanged_since: int | None,
    ) -> tuple[Sequence[MessageState], Sequence[int]]:
        """Change the flags in one commit."""
        answer = await self._run(
            operations.StoreFlags(self._mailbox_id, folder_id, list(uids), mode, flags, list(keywords), unchanged_since)
        )
        states = [MessageState(state.uid, state.flags, state.keywords, state.modseq) for state in answer.changed]
        return states, answer.modified

    async def expunge(self, folder_id: int, uids: Sequence[int]) -> Sequence[int]:
        r"""Remove those that are \Deleted in one commit."""
        answer = await self._run(operations.Expunge(self._mailbox_id, folder_id, list(uids)))
        removed: list[int] = answer.uids
        return removed

    async def mark_fetched(self, rows: Sequence[MessageRow], client: str) -> None:
        """Tell the store service, a little later and together with others."""
        self._backend.fetched([row.message_id for row in rows if not row.first_fetched], client)


def _octets(rows: Iterable[MessageRow]) -> int:
    """What the rows hold."""
    return sum(
        len(row.header or b"") + len(row.envelope or b"") + len(row.body_structure or b"") + len(row.parts or b"")
        for row in rows
    )
