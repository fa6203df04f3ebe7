"""A session's MailStore (retrieval.mail_store): the store service for writes, the reader database for reads.

`Backend` is what a process has once: the service's client, the reader, what tells of changes, leases to renew.
`OrmStore` is one logged-in mailbox's view of it, put together from the parts beside this module.
"""

from mailsuite.access.authentication import Authentication, session_is_valid
from mailsuite.store import operations
from mailsuite.writer.operation import ROWS_AT_ONCE
from retrieval.orm.backend import Backend
from retrieval.orm.copies import OrmCopies
from retrieval.orm.folders import OrmFolders
from retrieval.orm.mailbox import portions
from retrieval.orm.maildrop import OrmMaildrop
from retrieval.orm.messages import OrmMessages
from retrieval.orm.search import OrmSearch


class OrmStore(OrmFolders, OrmMessages, OrmCopies, OrmSearch, OrmMaildrop):
    """One session's MailStore. Not shared between sessions."""

    def __init__(self, backend: Backend, authentication: Authentication) -> None:
        super().__init__(backend, authentication)
        self._valid_at: int | None = None

    async def rename_folder(self, name: str, new_name: str) -> None:
        """Rename the folder. INBOX stays, with its children, and gives its messages to a new one (RFC 3501 §6.3.5)."""
        if name != "INBOX":
            await self._run(operations.RenameFolder(self._mailbox_id, name, new_name))
            return
        inbox = await self.status(name)
        target_id = await self._run(operations.CreateFolder(self._mailbox_id, new_name))
        if inbox is None:
            return
        uids = [state.uid for state in (await self.states(inbox.folder_id)).changed]
        for portion in portions(uids, ROWS_AT_ONCE):
            await self.copy(inbox.folder_id, portion, target_id, move=True)

    async def still_valid(self) -> bool:
        """Ask the directory, if anything has changed there since the last time."""
        version = await self._backend.directory_version()
        if version == self._valid_at:
            return True
        if not await self._backend.in_directory(session_is_valid, self._authentication):
            return False
        self._valid_at = version
        return True
