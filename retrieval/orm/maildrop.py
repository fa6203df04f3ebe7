"""The inbox as POP3's maildrop: locked, read as it was when it was locked, and emptied of what was deleted."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from mailsuite.store import operations
from mailsuite.writer.operation import ROWS_AT_ONCE
from retrieval.mail_values import LeasedMaildrop, MaildropEntry, MessageRow, RowField
from retrieval.orm import reads
from retrieval.orm.backend import LEASE_SECONDS
from retrieval.orm.mailbox import OpenMailbox


class OrmMaildrop(OpenMailbox):
    """MaildropStore (retrieval.mail_store) over the reader and the store service."""

    async def lease_maildrop(self, token: str) -> LeasedMaildrop:
        """Take the lock; the backend renews it until it is released."""
        answer = await self._run(operations.LeaseMaildrop(self._mailbox_id, token, LEASE_SECONDS))
        self._backend.leases[token] = self._mailbox_id
        return LeasedMaildrop(answer.folder_id, answer.uid_next, answer.message_count)

    async def maildrop_entries(self, leased: LeasedMaildrop) -> AsyncIterator[list[MaildropEntry]]:
        """Slices by uid, with turns for others between them."""
        after_uid = 0
        while entries := await self._read(
            reads.maildrop_entries, self._mailbox_id, leased.folder_id, after_uid, leased.uid_next
        ):
            yield entries
            after_uid = entries[-1].uid
            await asyncio.sleep(0)

    async def maildrop_row(self, folder_id: int, uid: int, fields: Collection[RowField]) -> MessageRow | None:
        """The message where it was, or what is kept of it for the session that has the lock."""
        rows = await self._read(reads.message_rows, self._mailbox_id, folder_id, [uid], fields)
        rows = rows or await self._read(reads.expunged_but_open_rows, self._mailbox_id, uid, fields)
        return rows[0] if rows else None

    async def release_maildrop(self, token: str) -> None:
        """Give the lock back."""
        self._backend.leases.pop(token, None)
        await self._run(operations.ReleaseMaildrop(self._mailbox_id, token))

    async def quit_maildrop(self, folder_id: int, token: str, uids: Sequence[int]) -> None:
        """In portions, since the store has others to serve; when the lock is lost between two, the rest stays."""
        for start in range(0, max(1, len(uids)), ROWS_AT_ONCE):
            portion, more = list(uids[start : start + ROWS_AT_ONCE]), start + ROWS_AT_ONCE < len(uids)
            if not more:
                self._backend.leases.pop(token, None)
            await self._run(operations.QuitMaildrop(self._mailbox_id, folder_id, token, portion, more))
