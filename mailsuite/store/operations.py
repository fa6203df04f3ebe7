"""What the store is asked to do: deliver and append, and all that IMAP and POP3 do to folders and messages.

What an operation promises is said in mailsuite.writer.operation.
"""

from collections.abc import Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any, ClassVar, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from mailsuite.ids import new_id
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.parsed_header import HeaderTable
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.operation import Operation, Spooled


class LocalDelivery(Struct, frozen=True):
    """One mailbox that gets the message. `prefix` is put in front of its octets: Return-Path, Delivered-To, Received.

    It goes to the folder named `folder` if that exists, else to the one with `role`; without either, to the inbox.
    """

    mailbox_id: int
    address: str
    prefix: bytes
    domain_id: int | None = None
    role: str = "inbox"
    folder: str = ""
    flags: int = 0
    keywords: list[str] = []
    reason: str = ""
    why: str = ""


class RemoteRecipient(Struct, frozen=True):
    """A recipient elsewhere, and the domain whose hosts are asked first."""

    recipient: EnvelopeRecipient
    destination: str


# Why mail to postmaster@ or abuse@ is held where nobody reads it.
KEPT = "kept for the administrators: nobody reads this address yet"


class Outgoing(Struct, frozen=True):
    """One envelope for the queue, which expires some time. `hold_reason` set means that it waits for an
    administrator."""

    envelope: Envelope
    prefix: bytes
    recipients: list[RemoteRecipient]
    sender_mailbox_id: int | None = None
    domain_id: int | None = None
    hold_reason: str = ""


class ReportDelivery(Struct, frozen=True):
    """A message for the report reader; `kind` is dmarc or tls, `domain_id` the domain whose address it came to."""

    kind: str
    domain_id: int
    address: str


class Deliver(Operation[None], frozen=True, tag=True):
    """Files one received message: content once, a row for each mailbox, queue rows, reports to read, story. Answer:
    nothing.

    `spool` is the name of a complete file in the spool folder; it is gone from there when the answer comes. What is
    small comes along in `octets` instead, and the store makes the file. `header` is what was read of its header, where
    somebody has read that. `again` says that an answer was lost: the
    operation may have been done. Refused: nonexistent, when a mailbox that is to get it was removed meanwhile, or the
    one that sends it; nobody got it then.
    """

    takes_room: ClassVar[bool] = True
    spool: str
    size_octets: int
    story: StoryFacts
    local: list[LocalDelivery] = []
    outgoing: list[Outgoing] = []
    reports: list[ReportDelivery] = []
    octets: bytes | None = None
    header: HeaderTable | None = None
    again: bool = False

    @classmethod
    def carrying(cls, octets: bytes, story: StoryFacts, **places: Any) -> "Deliver":
        """The delivery of a message that is at hand; `places` are the lists above."""
        return cls(token_hex(16), len(octets), story, octets=octets, **places)

    def mailbox_ids(self) -> set[int]:
        return {delivery.mailbox_id for delivery in self.local}

    def files(self) -> Sequence[Spooled]:
        return (self,)

    def asked_again(self) -> "Deliver":
        return replace(self, again=True)

    def withdrawal(self) -> "WithdrawDelivery":
        return WithdrawDelivery(self.story.story_id, sorted(self.mailbox_ids()))


class AppendItem(Struct, frozen=True):
    """One message; `spool` and `octets` as in Deliver. `message_id` is its row's, by which it can be withdrawn."""

    header: ClassVar[HeaderTable | None] = None
    spool: str
    size_octets: int
    flags: int = 0
    keywords: list[str] = []
    internal_date: datetime | None = None
    octets: bytes | None = None
    message_id: int = field(default_factory=new_id)

    @classmethod
    def carrying(
        cls, octets: bytes, flags: int = 0, keywords: list[str] | None = None, internal_date: datetime | None = None
    ) -> "AppendItem":
        """A message that is at hand."""
        return cls(token_hex(16), len(octets), flags, keywords or [], internal_date, octets)


class AppendAnswer(Struct, frozen=True):
    uid_validity: int
    uids: list[int]


class Append(Operation[AppendAnswer], frozen=True, tag=True):
    """IMAP APPEND (RFC 3501 §6.3.11), all items or none. Refused: nonexistent, over-quota."""

    takes_room: ClassVar[bool] = True
    Answer: ClassVar[Any] = AppendAnswer
    mailbox_id: int
    folder_id: int
    items: list[AppendItem]
    quota_octets: int = 0

    def files(self) -> Sequence[Spooled]:
        return self.items

    def withdrawal(self) -> "WithdrawMessages":
        return WithdrawMessages(self.mailbox_id, [item.message_id for item in self.items])


class FlagState(Struct, frozen=True, array_like=True):
    uid: int
    flags: int
    keywords: str
    modseq: int


class StoreFlagsAnswer(Struct, frozen=True):
    """`changed` has the messages as they are now; `modified` the uids that UNCHANGEDSINCE spared."""

    changed: list[FlagState]
    modified: list[int] = []


class StoreFlags(Operation[StoreFlagsAnswer], frozen=True, tag=True):
    """IMAP STORE (RFC 3501 §6.4.6). Uids that are gone are passed over. Refused: nonexistent, limit."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = StoreFlagsAnswer
    mailbox_id: int
    folder_id: int
    uids: list[int]
    mode: Literal["add", "remove", "replace"]
    flags: int
    keywords: list[str] = []
    unchanged_since: int | None = None


class ExpungeAnswer(Struct, frozen=True):
    uids: list[int]
    modseq: int


class Expunge(Operation[ExpungeAnswer], frozen=True, tag=True):
    r"""Removes those of the messages that are \Deleted (RFC 4315 §2.1)."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = ExpungeAnswer
    mailbox_id: int
    folder_id: int
    uids: list[int]


class CopyAnswer(Struct, frozen=True):
    """`pairs` are (uid here, uid there) ascending (RFC 4315 §3)."""

    uid_validity: int
    pairs: list[tuple[int, int]]


class Copy(Operation[CopyAnswer], frozen=True, tag=True):
    """IMAP COPY, or MOVE (RFC 6851) when `move`: all of the uids that still exist, in one transaction; at most
    ROWS_AT_ONCE. As a slice of a larger COPY it names that one by `copy_id`; else `message_ids` are those that the
    copies are to have, one for each of the uids, by which they can be withdrawn. `by` says who asked for it, where
    that is not the mailbox's owner.

    Refused: nonexistent, limit; over-quota (COPY alone); cannot, when the larger copy was given up.
    """

    takes_room: ClassVar[bool] = True
    Answer: ClassVar[Any] = CopyAnswer
    mailbox_id: int
    folder_id: int
    target_id: int
    uids: list[int]
    move: bool = False
    quota_octets: int = 0
    copy_id: int = 0
    message_ids: list[int] = []
    by: str = ""

    def withdrawal(self) -> "WithdrawMessages | None":
        return WithdrawMessages(self.mailbox_id, self.message_ids) if self.message_ids and not self.move else None


class BeginCopy(Operation[None], frozen=True, tag=True):
    """Begins a COPY in slices: its octets count against the quota from now on. `copy_id` is drawn by the asker
    (mailsuite.ids). It is given up when no slice came for COPY_SECONDS. Refused: nonexistent, over-quota."""

    mailbox_id: int
    copy_id: int
    target_id: int
    octets: int
    quota_octets: int = 0


class EndCopy(Operation[None], frozen=True, tag=True):
    """Has what the slices copied stay, all of it at once; may be asked again. Refused: cannot, when it was given up."""

    limit_seconds: ClassVar[float] = 5.0
    mailbox_id: int
    copy_id: int


class UndoCopy(Operation[bool], frozen=True, tag=True):
    """Gives the copy up and removes some of what it has copied; answers whether more is left. Of one that was completed
    it removes nothing."""

    frees: ClassVar[bool] = True
    leaves_chores: ClassVar[bool] = True
    Answer: ClassVar[Any] = bool
    lasting: ClassVar[bool] = True
    # Whoever waits has waited for the copy already.
    limit_seconds: ClassVar[float] = 3.0
    mailbox_id: int
    copy_id: int


class CreateFolder(Operation[int], frozen=True, tag=True):
    """Makes a folder and its missing parents; answers its id. Refused: exists, invalid."""

    alone: ClassVar[bool] = True
    Answer: ClassVar[Any] = int
    mailbox_id: int
    name: str
    role: str = ""


class DeleteFolder(Operation[None], frozen=True, tag=True):
    r"""Removes a folder; with children it stays as a \Noselect name. Its messages are gone for everybody at once, their
    rows some at a time. Refused: nonexistent, cannot."""

    frees: ClassVar[bool] = True
    leaves_chores: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    mailbox_id: int
    name: str


class PurgeFolder(Operation[bool], frozen=True, tag=True):
    """Deletes some of the rows that a deleted folder has left; answers whether more are."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = bool
    lasting: ClassVar[bool] = True
    folder_id: int


class RenameFolder(Operation[None], frozen=True, tag=True):
    """Renames a folder and all below it; not INBOX, whose messages are to be moved instead (RFC 3501 §6.3.5).

    Refused: nonexistent, exists, cannot, invalid.
    """

    alone: ClassVar[bool] = True
    mailbox_id: int
    name: str
    new_name: str


class Subscribe(Operation[None], frozen=True, tag=True):
    """Subscribes a name, or unsubscribes it, whether or not there is such a folder. Refused: cannot, invalid."""

    mailbox_id: int
    name: str
    on: bool

    def mailbox_ids(self) -> set[int]:
        return set()


class ClaimRecent(Operation[int], frozen=True, tag=True):
    r"""Answers the first uid that was \Recent in no session yet, and makes those up to now this session's."""

    Answer: ClassVar[Any] = int
    # A folder is opened without, rather than late.
    limit_seconds: ClassVar[float] = 1.0
    mailbox_id: int
    folder_id: int


class LeaseAnswer(Struct, frozen=True):
    """The inbox; the session's snapshot are its messages with uids below `uid_next`."""

    folder_id: int
    uid_next: int
    message_count: int


class LeaseMaildrop(Operation[LeaseAnswer], frozen=True, tag=True):
    """Takes the POP3 lock for `seconds`, or renews it. Messages of the snapshot that leave the inbox meanwhile are kept
    until the lease ends. Refused: nonexistent; locked, when another's token holds it; lease-lost, when there is nothing
    to `renew`."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = LeaseAnswer
    limit_seconds: ClassVar[float] = 3.0
    mailbox_id: int
    token: str
    seconds: int = 120
    renew: bool = False


class ReleaseMaildrop(Operation[None], frozen=True, tag=True):
    frees: ClassVar[bool] = True
    lasting: ClassVar[bool] = True
    mailbox_id: int
    token: str

    def mailbox_ids(self) -> set[int]:
        return set()


class QuitMaildrop(Operation[ExpungeAnswer], frozen=True, tag=True):
    """POP3's UPDATE state: removes the uids whatever their flags and drops the lock, unless `more` are to follow.
    Refused: lease-lost."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = ExpungeAnswer
    mailbox_id: int
    folder_id: int
    token: str
    uids: list[int]
    more: bool = False


class MarkFetched(Operation[None], frozen=True, tag=True):
    """Notes in the stories of these messages that a client has read them for the first time."""

    lasting: ClassVar[bool] = True
    message_ids: list[int]
    text: str


class WithdrawDelivery(Operation[None], frozen=True, tag=True):
    """Takes back a delivery that was done after all: its client was told that it was not, and will bring the message
    again. `delivered_to` are the mailboxes that were to get it."""

    frees: ClassVar[bool] = True
    lasting: ClassVar[bool] = True
    story_id: int
    delivered_to: list[int]

    def mailbox_ids(self) -> set[int]:
        return set(self.delivered_to)


class WithdrawMessages(Operation[None], frozen=True, tag=True):
    """Takes back the rows that an Append or Copy may have made."""

    frees: ClassVar[bool] = True
    lasting: ClassVar[bool] = True
    mailbox_id: int
    message_ids: list[int]


class ReopenCopy(Operation[None], frozen=True, tag=True):
    """Takes back the end of a COPY in slices that got no answer: all of it is undone."""

    frees: ClassVar[bool] = True
    lasting: ClassVar[bool] = True
    mailbox_id: int
    copy_id: int
