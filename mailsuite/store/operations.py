"""What the store service can be asked to do: plain values that cross its socket (or are run directly).

An operation is a pure function of its input and may be run twice: the batch that it was in failed, or two hosts met.
Each class names its answer's type; a refusal is raised at the caller as `Refused`. A missing answer promises nothing,
an answer promises that its effect is durable (promise 1).
"""

from datetime import datetime
from secrets import token_hex
from typing import Any, ClassVar, Generic, Literal, TypeVar

from msgspec import Struct, field

from mailsuite.ids import new_id

A = TypeVar("A")

# How long an operation may take until its effect is durable: clients and proxies give up after 30 seconds and more, and
# what they gave up they ask for again. Then it is withdrawn.
OPERATION_SECONDS = 20.0
# The answer's way back. Whoever has none by then may say that nothing was done.
GRACE_SECONDS = 5.0


class Refused(Exception):
    """The operation can't be done and nothing was changed. `code` is one of the words below; text is for people.

    nonexistent, exists, cannot, limit, over-quota, locked, lease-lost, invalid, storage-full
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


# Rows that one operation changes at most: whoever has more to do asks again, so that others have their turn with the
# one writer between.
ROWS_AT_ONCE = 500


class Operation(Struct, Generic[A], frozen=True, tag=True):
    """`Answer` is the type that the answer is decoded to. What may refuse after its first change runs `alone`, in a
    transaction of its own; the others refuse before they change anything and share one. `limit_seconds` is how long
    it may take before it is withdrawn; what is `lasting` stays true however late it is written, and never is. What
    `frees` room, or leads to that, may use the reserve of a full disk (mailsuite.store.reserve)."""

    Answer: ClassVar[Any] = None
    alone: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    frees: ClassVar[bool] = False
    limit_seconds: ClassVar[float] = OPERATION_SECONDS


class EventFacts(Struct, frozen=True):
    """A trace.Event to be. `text` is for people."""

    kind: str
    address: str = ""
    reason: str = ""
    text: str = ""
    domain_id: int | None = None
    mailbox_id: int | None = None


class StoryFacts(Struct, frozen=True):
    """A trace.Story to be; what stands in the message itself (subject, From, Message-ID) the store adds.

    `story_id` is drawn by the caller (mailsuite.ids), who needs it for the Received field and the reply.
    `data` is JSON.
    """

    story_id: int
    kind: str
    outcome: str
    at: datetime
    reason: str = ""
    client_address: str = ""
    client_name: str = ""
    reverse_path: str = ""
    sender_domain_id: int | None = None
    sender_mailbox_id: int | None = None
    subject: str = ""
    from_text: str = ""
    message_id: str = ""
    size_octets: int = 0
    data: str = "{}"
    events: list[EventFacts] = []


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
    forward_path: str
    destination: str
    dsn_notify: str = ""
    dsn_orcpt: str = ""


# Why mail to postmaster@ or abuse@ is held where nobody reads it.
KEPT = "kept for the administrators: nobody reads this address yet"


class Outgoing(Struct, frozen=True):
    """One envelope for the queue. `hold_reason` set means that it waits for an administrator."""

    reverse_path: str
    prefix: bytes
    recipients: list[RemoteRecipient]
    expires_at: datetime
    smtputf8: bool = False
    eight_bit: bool = False
    dsn_ret: str = ""
    dsn_envid: str = ""
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
    small comes along in `octets` instead, and the store makes the file. `again` says that an answer was lost: the
    operation may have been done. Refused: nonexistent, when a mailbox that is to get it was removed meanwhile, or the
    one that sends it; nobody got it then.
    """

    spool: str
    size_octets: int
    story: StoryFacts
    local: list[LocalDelivery] = []
    outgoing: list[Outgoing] = []
    reports: list[ReportDelivery] = []
    octets: bytes | None = None
    again: bool = False

    @classmethod
    def carrying(cls, octets: bytes, story: StoryFacts, **places: Any) -> "Deliver":
        """The delivery of a message that is at hand; `places` are the lists above."""
        return cls(token_hex(16), len(octets), story, octets=octets, **places)


class AppendItem(Struct, frozen=True):
    """One message; `spool` and `octets` as in Deliver. `message_id` is its row's, by which it can be withdrawn."""

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

    Answer: ClassVar[Any] = AppendAnswer
    mailbox_id: int
    folder_id: int
    items: list[AppendItem]
    quota_octets: int = 0


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


class TellStory(Operation[None], frozen=True, tag=True):
    """A refusal or failed connection: buffered, written within a second, may be lost in a crash. A `count` above one
    makes it the example of so many alike."""

    story: StoryFacts
    network: str
    count: int = 1


class Touched(Operation[None], frozen=True, tag=True):
    """Rows were changed by somebody else's transaction: tell those who watch these folders."""

    folder_ids: list[int]


class Forget(Operation[None], frozen=True, tag=True):
    """Nobody waits any more for the answer to that request of this connection: it is dropped unless it has begun."""

    request_id: int


class DoubtfulDelivery(Struct, frozen=True):
    """A Deliver without an answer: its story and the mailboxes that were to get it."""

    story_id: int
    mailbox_ids: list[int]


class DoubtfulMessages(Struct, frozen=True):
    """An Append or Copy without an answer: the rows that it may have made."""

    mailbox_id: int
    message_ids: list[int]


class DoubtfulCopy(Struct, frozen=True):
    """A COPY in slices whose EndCopy got no answer."""

    mailbox_id: int
    copy_id: int


class Withdraw(Operation[None], frozen=True, tag=True):
    """Takes back what of these was done after all: their clients were told that it was not, and will bring them
    again."""

    frees: ClassVar[bool] = True
    lasting: ClassVar[bool] = True
    deliveries: list[DoubtfulDelivery] = []
    messages: list[DoubtfulMessages] = []
    copies: list[DoubtfulCopy] = []


class Ping(Operation[None], frozen=True, tag=True):
    """Asks for nothing but an answer: by way of the batch and a transaction that has its turn to write."""

    limit_seconds: ClassVar[float] = 3.0


class Watch(Operation[None], frozen=True, tag=True):
    """Asks for hints on this connection: frames with request id 0 that hold a `Hint`."""


class Hint(Struct, frozen=True):
    """Folders that changed; `queued` when something came into the queue."""

    folder_ids: list[int]
    queued: bool = False


class Claim(Struct, frozen=True):
    """A recipient that is now ours to try until the lease ends, with what sending needs."""

    recipient_id: int
    message_id: int
    forward_path: str
    destination: str
    attempt_count: int
    warned: bool
    reverse_path: str
    blob: str
    prefix: bytes
    size_octets: int
    smtputf8: bool
    eight_bit: bool
    created_at: datetime
    expires_at: datetime
    dsn_ret: str = ""
    dsn_envid: str = ""
    dsn_notify: str = ""
    dsn_orcpt: str = ""
    story_id: int | None = None


class ClaimDue(Operation[list[Claim]], frozen=True, tag=True):
    """Leases recipients that are due, those due longest first, and records the attempt before anybody is dialled.
    `fresh` takes only those that were never tried."""

    Answer: ClassVar[Any] = list[Claim]
    token: str
    limit: int
    lease_seconds: int
    busy_destinations: list[str] = []
    fresh: bool = False


class RenewClaims(Operation[list[int]], frozen=True, tag=True):
    """Answers those of the recipients that are still held by `token`, their lease now ending later; at once when
    `lease_seconds` is 0. `untried` takes back the attempt too: nothing was done about them."""

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = list[int]
    lasting: ClassVar[bool] = True
    token: str
    recipient_ids: list[int]
    lease_seconds: int
    untried: bool = False


class Arrival(Struct, frozen=True):
    """What is filed of a queued message whose recipient turned out to be ours, from the content that the queue holds:
    the same as of a Deliver."""

    local: list[LocalDelivery] = []
    outgoing: list[Outgoing] = []
    reports: list[ReportDelivery] = []
    events: list[EventFacts] = []


class AttemptResult(Struct, frozen=True):
    """What came of one claim. `state` is queued (try again at `next_attempt_at`), delivered, relayed or failed."""

    recipient_id: int
    state: str
    reply: str
    next_attempt_at: datetime | None = None
    code: int | None = None
    enhanced_code: str = ""
    remote_host: str = ""
    remote_address: str = ""
    tls: str = ""
    dialog: str = ""
    reason: str = ""
    warned: bool = False
    arrival: Arrival | None = None


class Settle(Operation[list[int]], frozen=True, tag=True):
    """Writes results where the token is still the writer's own, with the DSNs they call for and the mail that arrives
    here after all, in one transaction.

    Answers the recipient ids that were written.
    """

    frees: ClassVar[bool] = True
    Answer: ClassVar[Any] = list[int]
    # What a host took is taken, whoever waits to hear that it was written down.
    lasting: ClassVar[bool] = True
    token: str
    results: list[AttemptResult]
    notifications: list[Deliver] = []


AnyOperation = (
    Deliver
    | Append
    | StoreFlags
    | Expunge
    | Copy
    | BeginCopy
    | EndCopy
    | UndoCopy
    | CreateFolder
    | DeleteFolder
    | PurgeFolder
    | RenameFolder
    | Subscribe
    | ClaimRecent
    | LeaseMaildrop
    | ReleaseMaildrop
    | QuitMaildrop
    | MarkFetched
    | TellStory
    | Touched
    | Forget
    | Withdraw
    | Ping
    | Watch
    | ClaimDue
    | RenewClaims
    | Settle
)
