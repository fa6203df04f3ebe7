"""Copies and moves of messages from folder to folder; a copy of many is made in slices, and all of it or nothing."""

import asyncio
from collections.abc import Sequence

from mailsuite.ids import new_id
from mailsuite.store import operations
from mailsuite.writer.operation import ROWS_AT_ONCE, StoreBug
from retrieval.mail_values import Refused, StoreUnavailable
from retrieval.orm import reads
from retrieval.orm.mailbox import OpenMailbox, portions


class OrmCopies(OpenMailbox):
    """The copies of MessageStore (retrieval.mail_store) over the store service."""

    async def copy(
        self, folder_id: int, uids: Sequence[int], target_id: int, *, move: bool
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        """Copy or move in one commit what is at most ROWS_AT_ONCE messages; of more, copies alone are made."""
        if len(uids) > ROWS_AT_ONCE:
            assert not move  # which is asked for in portions
            return await self._copy_in_slices(folder_id, uids, target_id)
        answer = await self._run(
            operations.Copy(
                *(self._mailbox_id, folder_id, target_id, list(uids), move),
                quota_octets=self.principal.quota_octets,
                message_ids=[] if move else [new_id() for _ in uids],
            )
        )
        return answer.uid_validity, answer.pairs

    async def _copy_in_slices(
        self, folder_id: int, uids: Sequence[int], target_id: int
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        """All or nothing (mailsuite.store.copies): whatever stops it, what was copied is removed again."""
        copy_id, pairs, slices = new_id(), list[tuple[int, int]](), list(portions(uids, ROWS_AT_ONCE))
        octets, quota = 0, self.principal.quota_octets
        for portion in slices:
            octets += await self._read(reads.octets, folder_id, portion)
            await asyncio.sleep(0)
        await self._run(operations.BeginCopy(self._mailbox_id, copy_id, target_id, octets, quota))
        try:
            for portion in slices:
                copy = operations.Copy(self._mailbox_id, folder_id, target_id, list(portion), copy_id=copy_id)
                answer = await self._run(copy)
                pairs += answer.pairs
            await self._end_copy(copy_id)
        except asyncio.CancelledError:
            self._backend.client.send(operations.UndoCopy(self._mailbox_id, copy_id))
            raise
        except Exception:
            await self._undo_copy(copy_id)
            raise
        return answer.uid_validity, pairs

    async def _end_copy(self, copy_id: int) -> None:
        try:
            await self._run(operations.EndCopy(self._mailbox_id, copy_id))
        except StoreUnavailable:  # perhaps the answer alone was lost
            try:
                await self._run(operations.EndCopy(self._mailbox_id, copy_id))
            except StoreUnavailable:
                self._backend.client.withdraw(operations.ReopenCopy(self._mailbox_id, copy_id))
                raise

    async def _undo_copy(self, copy_id: int) -> None:
        """The client is told when all is as it was; if the store is away, it does that when it is back."""
        try:
            while await self._run(operations.UndoCopy(self._mailbox_id, copy_id)):
                continue
        except (StoreUnavailable, Refused, StoreBug):
            return
