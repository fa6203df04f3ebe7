"""The seam between the retrieval protocols and the store: the MailStore protocol and the plain values that cross it.

Sessions know only what is here. `orm_store` implements it over the store service (writes) and the reader database
(reads); tests implement it in memory. Every method may raise StoreUnavailable (say so and go on: NO [UNAVAILABLE],
-ERR [SYS/TEMP]) or Refused (the command can't be done; nothing changed). A write's return is a promise that its effect
is durable.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from retrieval.search_budget import SearchBudget


class StoreUnavailable(Exception):
    """The store can't answer now; nothing is known to have changed."""


class Refused(Exception):
    """`code` is one of: nonexistent, exists, cannot, limit, over-quota, locked, lease-lost, invalid, storage-full."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Principal:
    """Who has logged in, to which mailbox."""

    user_id: int
    mailbox_id: int
    address: str
    quota_octets: int


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """`principal` is None when refused; `reason` then is one of: wrong, throttled, suspended, unavailable."""

    principal: Principal | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FolderInfo:
    """A name in LIST. `role` is "", inbox, sent, drafts, trash, junk or archive."""

    folder_id: int
    name: str
    role: str
    is_selectable: bool


@dataclass(frozen=True, slots=True)
class FolderStatus:
    folder_id: int
    uid_validity: int
    uid_next: int
    highest_modseq: int
    message_count: int
    unseen_count: int
    deleted_count: int
    recent_count: int
    size_octets: int


@dataclass(frozen=True, slots=True)
class LeasedMaildrop:
    """The inbox when a POP3 session began; the snapshot are its messages with uids below `uid_next`."""

    folder_id: int
    uid_next: int
    message_count: int


class MaildropEntry(NamedTuple):
    """What a POP3 session's snapshot has of a message."""

    uid: int
    size_octets: int
    unique_id: int


class MessageState(NamedTuple):
    """What changes about a message. `flags` are the bits of mailsuite.store.flags, `keywords` parted by spaces.

    A NamedTuple, since a folder has many: `MessageState._make(row)` takes what a cursor gives as it is.
    """

    uid: int
    flags: int
    keywords: str
    modseq: int


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """Everything newer than a modseq: states of changed and new messages ascending by uid, and expunged uids."""

    highest_modseq: int
    uid_next: int
    changed: Sequence[MessageState]
    expunged: Sequence[int]


class MessageRow(NamedTuple):
    """What FETCH needs beside the state; fields that were not asked for are None. `size_octets` counts the prefix.

    `header` is prefix and header block in one, None when it is too large for a row and must be read with `octets`.
    `parts` are offsets within the content (mailsuite.mail.structure), so add `prefix_octets` to place them in the
    message as served. `is_large` never leaves MailStore.
    """

    uid: int
    message_id: int
    content_id: int
    unique_id: int
    thread_id: int
    internal_date: datetime
    save_date: datetime
    size_octets: int
    prefix_octets: int
    first_fetched: bool
    envelope: bytes | None = None
    body_structure: bytes | None = None
    body: bytes | None = None
    header: bytes | None = None
    parts: bytes | None = None
    is_large: bool = False


FlagMode = Literal["add", "remove", "replace"]
RowField = Literal["envelope", "body_structure", "body", "header", "parts"]


class MailStore(Protocol):
    """One logged-in mailbox's view of the store; made by `Directory.login`."""

    principal: Principal

    async def folders(self) -> Sequence[FolderInfo]: ...

    async def subscriptions(self) -> Sequence[str]: ...

    async def status(self, name: str) -> FolderStatus | None:
        """None when there is no selectable folder of that name."""
        ...

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
        self, folder_id: int, uids: Sequence[int], needle: str, *, where: str, budget: "SearchBudget"
    ) -> set[int]:
        """The uids whose text contains `needle`, ignoring case. `where`: subject, from, to, cc, bcc, body, text.
        Refused: limit, when the budget is used up."""
        ...

    async def spool(self) -> "Spool":
        """A fresh file to which an APPEND's octets go as they arrive."""
        ...

    async def append(self, folder_id: int, items: Sequence["SpooledMessage"]) -> tuple[int, Sequence[int]]:
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
        """(states after the change, uids that UNCHANGEDSINCE spared)."""
        ...

    async def expunge(self, folder_id: int, uids: Sequence[int]) -> Sequence[int]:
        r"""Removes those of the messages that are \Deleted; returns their uids."""
        ...

    async def copy(
        self, folder_id: int, uids: Sequence[int], target_id: int, *, move: bool
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        """(the target's uid_validity, pairs of uid here and uid there)."""
        ...

    async def create_folder(self, name: str, role: str = "") -> None: ...

    async def delete_folder(self, name: str) -> None: ...

    async def rename_folder(self, name: str, new_name: str) -> None: ...

    async def subscribe(self, name: str, *, on: bool) -> None: ...

    async def claim_recent(self, folder_id: int) -> int:
        r"""The first uid that was \Recent in no session yet."""
        ...

    async def mark_fetched(self, rows: Sequence[MessageRow], client: str) -> None:
        """Notes the first reading of these in their stories; never waits, never fails."""
        ...

    async def watch(self, folder_id: int | None) -> None:
        """Which folder's changes `changed` tells of; None for none."""
        ...

    async def changed(self) -> None:
        """Returns when the watched folder may have changed since the last return."""
        ...

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

    async def release_maildrop(self, token: str) -> None: ...

    async def quit_maildrop(self, folder_id: int, token: str, uids: Sequence[int]) -> None:
        """Removes the messages, a thousand at a time, and drops the lock with the last. Refused: lease-lost."""
        ...

    async def still_valid(self) -> bool:
        """False once the mailbox is suspended or removed or the password was changed: end the session."""
        ...


class Spool(Protocol):
    """An APPEND in the making. Closed without `finish`, it leaves nothing behind."""

    async def write(self, chunk: bytes) -> None: ...

    async def finish(self, flags: int, keywords: Sequence[str], internal_date: datetime | None) -> "SpooledMessage": ...

    async def discard(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """What is to be filed: `octets`, or if they are None those of a file in the spool."""

    file_name: str
    size_octets: int
    flags: int
    keywords: Sequence[str]
    internal_date: datetime | None
    octets: bytes | None = None


class Directory(Protocol):
    """Checks logins; one for each retrieval process."""

    async def login(
        self, name: str, password: str, *, protocol: Literal["imap", "pop3"], client_address: str
    ) -> "tuple[LoginAnswer, MailStore | None]":
        """Takes the same time for a known and an unknown name; slows down after failures (reason "throttled")."""
        ...
