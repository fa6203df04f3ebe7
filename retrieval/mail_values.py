"""The plain values that cross the seam between the retrieval protocols and the store, and why the store may say no."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple


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
    """A folder in numbers; `recent_count` is of messages that no session has claimed (RFC 3501 §2.3.2)."""

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


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """What is to be filed: `octets`, or if they are None those of a file in the spool."""

    spool: str
    size_octets: int
    flags: int
    keywords: Sequence[str]
    internal_date: datetime | None
    octets: bytes | None = None
