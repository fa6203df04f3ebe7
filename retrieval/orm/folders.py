"""Folders of a session's mailbox: which there are, what is in them in numbers, and when one has changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from mailsuite.access.authentication import Authentication
from mailsuite.store import operations
from retrieval.mail_values import FolderInfo, FolderStatus
from retrieval.orm import reads
from retrieval.orm.backend import Backend
from retrieval.orm.mailbox import OpenMailbox


class OrmFolders(OpenMailbox):
    """FolderStore (retrieval.mail_store) over the reader and the store service, but for renaming."""

    def __init__(self, backend: Backend, authentication: Authentication) -> None:
        super().__init__(backend, authentication)
        self._event = asyncio.Event()
        self._watched: int | None = None

    async def folders(self) -> Sequence[FolderInfo]:
        """All names, in the order in which they were made."""
        folders: list[FolderInfo] = []
        while True:
            after = folders[-1].folder_id if folders else 0
            portion = await self._read(reads.folders, self._mailbox_id, after)
            folders += portion
            if len(portion) < reads.NAME_ROWS:
                return folders
            await asyncio.sleep(0)

    async def subscriptions(self) -> Sequence[str]:
        """All names, in the order in which they were subscribed."""
        rows: list[tuple[int, str]] = []
        while True:
            after = rows[-1][0] if rows else 0
            portion = await self._read(reads.subscriptions, self._mailbox_id, after)
            rows += portion
            if len(portion) < reads.NAME_ROWS:
                return [name for _, name in rows]
            await asyncio.sleep(0)

    async def status(self, name: str) -> FolderStatus | None:
        """The folder's counts; recent messages are counted for it, in slices."""
        status = await self._read(reads.status, self._mailbox_id, name)
        return None if status is None else replace(status, recent_count=await self._recent(status))

    async def _recent(self, status: FolderStatus) -> int:
        """How many messages are recent, given a status that has the first uid that is."""
        uid, counted = status.recent_count, 0
        if uid <= 1:
            return status.message_count
        while uid < status.uid_next:
            count, uid = await self._read(reads.recent, status.folder_id, uid, status.uid_next)
            counted += count
            if count < reads.COUNTED_ROWS:
                break
            await asyncio.sleep(0)
        return counted

    async def create_folder(self, name: str, role: str = "") -> None:
        """Make the folder, and those above it."""
        await self._run(operations.CreateFolder(self._mailbox_id, name, role))

    async def delete_folder(self, name: str) -> None:
        """Remove the folder with its messages."""
        await self._run(operations.DeleteFolder(self._mailbox_id, name))

    async def subscribe(self, name: str, *, on: bool) -> None:
        """Put the name on the list, or take it off."""
        await self._run(operations.Subscribe(self._mailbox_id, name, on))

    async def claim_recent(self, folder_id: int) -> int:
        r"""The first uid that was \Recent in no session yet; those from there on are so in this one alone."""
        first: int = await self._run(operations.ClaimRecent(self._mailbox_id, folder_id))
        return first

    async def watch(self, folder_id: int | None) -> None:
        """Have `changed` tell of this folder, and of no other any more."""
        if self._watched is not None:
            self._backend.changes.forget(self._watched, self._event)
        self._watched = folder_id
        self._event.clear()
        if folder_id is not None:
            self._backend.changes.watch(folder_id, self._event)

    async def changed(self) -> None:
        """Return at the next hint."""
        await self._event.wait()
        self._event.clear()
