"""The seam between the retrieval protocols and the store: what a session may ask of its mailbox.

Sessions know only what is here and in retrieval.mail_values. `retrieval.orm` implements it over the store service
(writes) and the reader database (reads); tests implement it in memory. Every method may raise StoreUnavailable (say so
and go on: NO [UNAVAILABLE], -ERR [SYS/TEMP]) or Refused (the command can't be done; nothing changed). A write's return
is a promise that its effect is durable.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol

from retrieval.mail_values import (
    FlagMode,
    FolderChanges,
    FolderInfo,
    FolderStatus,
    LeasedMaildrop,
    LoginAnswer,
    MaildropEntry,
    MessageRow,
    MessageState,
    Principal,
    RowField,
    SpooledMessage,
)
from retrieval.search_budget import SearchBudget


class FolderStore(Protocol):
    """The mailbox's folders, and hints that one has changed."""

    async def folders(self) -> Sequence[FolderInfo]:
        """All folders, and the names that only lead to others."""
        ...

    async def subscriptions(self) -> Sequence[str]:
        """All names that are subscribed, whether or not there are such folders."""
        ...

    async def status(self, name: str) -> FolderStatus | None:
        """None when there is no selectable folder of that name."""
        ...

    async def create_folder(self, name: str, role: str = "") -> None:
        """Makes the folder, and those above it that are missing. Refused: exists, cannot, invalid."""
        ...

    async def delete_folder(self, name: str) -> None:
        """Removes the folder with its messages; one that holds others stays as a name. Refused: nonexistent, cannot."""
        ...

    async def rename_folder(self, name: str, new_name: str) -> None:
        """Renames the folder and all below it; INBOX gives its messages to a new one instead (RFC 3501 §6.3.5).
        Refused: nonexistent, exists, cannot, invalid."""
        ...

    async def subscribe(self, name: str, *, on: bool) -> None:
        """Puts the name on the list, or takes it off. Refused: cannot, invalid."""
        ...

    async def claim_recent(self, folder_id: int) -> int:
        r"""The first uid that was \Recent in no session yet."""
        ...

    async def watch(self, folder_id: int | None) -> None:
        """Which folder's changes `changed` tells of; None for none."""
        ...

    async def changed(self) -> None:
        """Returns when the watched folder may have changed since the last return."""
        ...


class MessageStore(Protocol):
    """Messages of the mailbox's folders: reading, searching, filing, changing."""

    async def states(self, folder_id: int, *, since_modseq: int = 0) -> FolderChanges:
        """All of the folder, or what is newer than `since_modseq`: one consistent moment."""
        ...

    def rows(
        self, folder_id: int, uids: Sequence[int], fields: Collection[RowField]
    ) -> AsyncIterator[list[MessageRow]]:
        """Slices of some hundred rows, ascending by uid; uids that are gone are missing."""
        ...

    async def octets(self, row: MessageRow, start: int, end: int) -> bytes:
        """Octets [start, end) of the message as served, prefix included; shorter at the end of the message."""
        ...

    async def search_text(
        self, folder_id: int, uids: Sequence[int], needle: str, *, where: str, budget: SearchBudget
    ) -> set[int]:
        """The uids whose text contains `needle`, ignoring case. `where`: subject, from, to, cc, bcc, body, text.
        Refused: limit, when the budget is used up."""
        ...

    async def spool(self) -> "Spool":
        """A fresh file to which an APPEND's octets go as they arrive. Refused: storage-full."""
        ...

    async def append(self, folder_id: int, items: Sequence[SpooledMessage]) -> tuple[int, Sequence[int]]:
        """(uid_validity, uids). Refused: nonexistent, over-quota."""
        ...

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        mode: FlagMode,
        flags: int,
        keywords: Sequence[str],
        unchanged_since: int | None,
    ) -> tuple[Sequence[MessageState], Sequence[int]]:
        """(states after the change, uids that UNCHANGEDSINCE spared). Refused: limit."""
        ...

    async def expunge(self, folder_id: int, uids: Sequence[int]) -> Sequence[int]:
        r"""Removes those of the messages that are \Deleted; returns their uids."""
        ...

    async def copy(
        self, folder_id: int, uids: Sequence[int], target_id: int, *, move: bool
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        """(the target's uid_validity, pairs of uid here and uid there). Refused: nonexistent, over-quota."""
        ...

    async def mark_fetched(self, rows: Sequence[MessageRow], client: str) -> None:
        """Notes the first reading of these in their stories; never waits, never fails."""
        ...


class MaildropStore(Protocol):
    """The inbox as POP3 sees it (RFC 1939 §5): locked by one session, and as it was then."""

    async def lease_maildrop(self, token: str) -> LeasedMaildrop:
        """Takes the POP3 lock. Refused: locked."""
        ...

    def maildrop_entries(self, leased: LeasedMaildrop) -> AsyncIterator[list[MaildropEntry]]:
        """The snapshot, ascending by uid, in slices of some hundred messages."""
        ...

    async def maildrop_row(self, folder_id: int, uid: int, fields: Collection[RowField]) -> MessageRow | None:
        """A message of the snapshot, also when it has left the inbox since; `octets` serves it. None once the lock was
        lost."""
        ...

    async def release_maildrop(self, token: str) -> None:
        """Drops the lock if this token still has it."""
        ...

    async def quit_maildrop(self, folder_id: int, token: str, uids: Sequence[int]) -> None:
        """Removes the messages, a thousand at a time, and drops the lock with the last. Refused: lease-lost."""
        ...


class MailStore(FolderStore, MessageStore, MaildropStore, Protocol):
    """One logged-in mailbox's view of the store; made by `Directory.login`."""

    principal: Principal

    async def still_valid(self) -> bool:
        """False once the mailbox is suspended or removed or the password was changed: end the session."""
        ...


class Spool(Protocol):
    """An APPEND in the making. Closed without `finish`, it leaves nothing behind."""

    async def write(self, chunk: bytes) -> None:
        """Takes the next octets."""
        ...

    async def finish(self, flags: int, keywords: Sequence[str], internal_date: datetime | None) -> SpooledMessage:
        """What `MessageStore.append` files; None stands for now."""
        ...

    async def discard(self) -> None:
        """Leaves nothing behind."""
        ...


class Directory(Protocol):
    """Checks logins; one for each retrieval process."""

    async def login(
        self, name: str, password: str, *, protocol: Literal["imap", "pop3"], client_address: str
    ) -> tuple[LoginAnswer, MailStore | None]:
        """Takes the same time for a known and an unknown name; slows down after failures (reason "throttled")."""
        ...
