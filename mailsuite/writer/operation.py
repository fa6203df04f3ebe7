"""What the writer can be asked to do: plain values that cross its socket, or are run directly.

An operation is a pure function of its input and may be run twice: the batch that it was in failed, or two hosts met.
Each class names its answer's type; a refusal is raised at the caller as `Refused`. A missing answer promises nothing,
an answer promises that its effect is durable. Apps define operations and say in their AppConfig how they are done
(mailsuite.writer.registry); those in this module are the writer's own.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct

from mailsuite.mail.parsed_header import HeaderTable

A = TypeVar("A")

# How long an operation may take until its effect is durable: clients and proxies give up after 30 seconds and more, and
# what they gave up they ask for again. Then it is withdrawn.
OPERATION_SECONDS = 20.0
# The answer's way back. Whoever has none by then may say that nothing was done.
GRACE_SECONDS = 5.0
# Rows that one operation changes at most: whoever has more to do asks again, so that others have their turn with the
# one writer between.
ROWS_AT_ONCE = 500


class Refused(Exception):
    """The operation can't be done and nothing was changed. `code` is one of the words below; text is for people.

    nonexistent, exists, cannot, limit, over-quota, locked, lease-lost, invalid, storage-full
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class StoreBug(Exception):
    """An operation failed for a reason of ours; logged under `reference`, which a reply may carry."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"internal error {reference}")
        self.reference = reference


class StoreUnavailable(Exception):
    """The store can't do it now (no disk, no database, not running); nothing is known to have changed."""


class TooLate(StoreUnavailable):
    """Its time was over: it was not done, or was taken back."""


class Spooled(Protocol):
    """A message to be filed: a complete spool file, which the writer makes itself of what is small and comes along."""

    @property
    def spool(self) -> str:
        """The name of its spool file (mailsuite.writer.storage)."""
        ...

    @property
    def size_octets(self) -> int:
        """How many octets it has: another number there is an error, and nothing is filed."""
        ...

    @property
    def octets(self) -> bytes | None:
        """All of them, where they come along; else there is the file."""
        ...

    @property
    def header(self) -> HeaderTable | None:
        """Where the fields of its header stand, where somebody has parsed it already."""
        ...


class Operation(Struct, Generic[A], frozen=True, tag=True):
    """`Answer` is the type that the answer is decoded to. What may refuse after its first change runs `alone`, in a
    transaction of its own; the others refuse before they change anything and share one. `limit_seconds` is how long
    it may take before it is withdrawn; what is `lasting` stays true however late it is written, and never is. What
    `frees` room, or leads to that, may use the reserve of a full disk (mailsuite.writer.reserve); what `takes_room`
    for good is refused long before. What `leaves_chores` has the writer look for them (registry.register_chores)."""

    Answer: ClassVar[Any] = None
    alone: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    frees: ClassVar[bool] = False
    takes_room: ClassVar[bool] = False
    leaves_chores: ClassVar[bool] = False
    limit_seconds: ClassVar[float] = OPERATION_SECONDS

    def mailbox_ids(self) -> set[int]:
        """The mailboxes whose rows it changes, which are locked for it."""
        mailbox_id = getattr(self, "mailbox_id", None)
        return set() if mailbox_id is None else {mailbox_id}

    def files(self) -> Sequence[Spooled]:
        """What it files."""
        return ()

    def asked_again(self) -> "Operation[A] | None":
        """What to ask for when no answer came: None where it must not be done twice, or does no harm undone."""
        return None

    def withdrawal(self) -> "Operation[None] | None":
        """What takes it back, should it have been done although its asker was told that it was not; None for what does
        no harm then."""
        return None


class Touched(Operation[None], frozen=True, tag=True):
    """Rows were changed by somebody else's transaction: tell those who watch these folders."""

    folder_ids: list[int]


class Forget(Operation[None], frozen=True, tag=True):
    """Nobody waits any more for the answer to that request of this connection: it is dropped unless it has begun."""

    request_id: int


class Ping(Operation[None], frozen=True, tag=True):
    """Asks for nothing but an answer: by way of the batch and a transaction that has its turn to write."""

    limit_seconds: ClassVar[float] = 3.0


class Watch(Operation[None], frozen=True, tag=True):
    """Asks for hints on this connection: frames with request id 0 that hold a `Hint`."""


class Hint(Struct, frozen=True):
    """Folders that changed; `queued` when something came into the queue."""

    folder_ids: list[int]
    queued: bool = False
