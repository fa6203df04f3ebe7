"""One message on its way in, and what its way is made of: stages, their answers, and the intakes that list them.

    Intake   which stages a kind of mail passes at its sender, at each recipient and when the message is there
    Stage    async def daily_caps(transaction) -> Answer: a rule; it reads the transaction and its services
    Answer   None (go on), a Refusal (no, or not now), Quarantine, AddFields

A stage is known by the name of its function, with hyphens: the word that the trace has for what it did. To add one,
write it in a file of its own and name it in the tuples of mailsuite.pipeline.intakes. Stages touch no socket; what they
compute over octets that are not small they have a thread do (mailsuite.server.threads).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mailsuite.directory.resolution import Resolution
from mailsuite.ids import new_id, reference
from mailsuite.mail.address import Path
from mailsuite.mail.client_network import holder_key
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.parsed_header import Header
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.destinations import Destinations
from mailsuite.pipeline.parties import Client, Program, Recipient
from mailsuite.pipeline.services import DirectoryView, Store
from mailsuite.trace.operations import EventFacts
from mailsuite.writer.spool import Spool, SpoolFile

if TYPE_CHECKING:
    # Programs that only write mail of their own do without all that judges a stranger's.
    from mailsuite.pipeline.evaluation import Evaluation
    from mailsuite.pipeline.evaluator import Evaluator, OngoingEvaluation

EXPIRES_AFTER = timedelta(days=5)
DISK_RESERVE_OCTETS = 256 * 1024 * 1024
MESSAGES_PER_CONNECTION = 1000
SIZE_LIMIT = 50 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Take it, and let it do no harm: copies here go to Junk, what would leave waits for an administrator. `text` says
    to people why."""

    text: str


@dataclass(frozen=True, slots=True)
class AddFields:
    """Put these header fields, each ending in CRLF, in front of the message for all who get it."""

    octets: bytes


Answer = Refusal | Quarantine | AddFields | None
Stage = Callable[["Transaction"], Awaitable[Answer]]


def stage_name(stage: Stage) -> str:
    """Return the word for a stage: its attribute `name`, else the name of its function with hyphens."""
    name: str = getattr(stage, "name", "") or getattr(stage, "__name__", "")
    return name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Intake:
    """What a kind of mail passes on its way in. `kind` is the story's word; `may_relay` whether it may go to other
    hosts as it is, `has_received` whether a Received field is put in front, `normalizes` whether bare line ends are
    made CRLF rather than refused."""

    kind: str
    sender: tuple[Stage, ...] = ()
    recipient: tuple[Stage, ...] = ()
    message: tuple[Stage, ...] = ()
    may_relay: bool = False
    has_received: bool = True
    normalizes: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """What all transactions of a process share. `srs_secrets` sign the reverse-paths of what is forwarded;
    `note_offence` counts what a stranger does wrong, by its address and the word for it."""

    hostname: str
    directory: DirectoryView
    store: Store
    spool: Spool
    srs_secrets: Sequence[bytes]
    note_offence: Callable[[str, str], None] = lambda address, reason: None
    evaluator: "Evaluator | None" = None
    expires_after: timedelta = EXPIRES_AFTER
    disk_reserve_octets: int = DISK_RESERVE_OCTETS
    messages_per_connection: int = MESSAGES_PER_CONNECTION
    size_limit: int = SIZE_LIMIT

    @property
    def authserv_ids(self) -> tuple[str, ...]:
        """What names us in Authentication-Results."""
        return self.evaluator.authserv_ids if self.evaluator else (self.hostname,)

    def lacks_room(self, size_octets: int = 0) -> Refusal | None:
        """Return STORAGE_FULL when the disk has no room for so many octets more."""
        return decisions.disk(
            self.spool.free_octets(), size_octets=size_octets, reserve_octets=self.disk_reserve_octets
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """What the next host has to know of a message's octets."""

    size_octets: int
    eight_bit: bool = False
    is_header_ascii: bool = True


@dataclass(frozen=True, slots=True)
class Note:
    """What a program says of a message of its own in that message's story: `reason` is the word for it, `facts` are for
    its data, `events` come beside those of the way."""

    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[EventFacts] = ()


@dataclass(slots=True)
class Transaction:
    """What was said of one message, and what its stages have found out.

    `program` is set for mail of our own. While the stages of a recipient run, `candidate` is that one and `resolution`
    where it leads. `file` holds the message once it is there, `stray` what of its header belongs to its body. Of what
    stages leave for the plan of deliveries, `delivered_before` are keys of addresses that had the message, `seals` ARC
    sets by the domain whose address forwards, `added` fields for all copies, `hold_reason` why what leaves has to wait,
    `quarantine` a stage and its words; of what they leave for the story, `signed_by` are selectors, `from_given` the
    From that the message came with where that was written anew, `blank_line` where one was put that its header had not.
    """

    intake: Intake
    services: Services
    client: Client
    envelope: Envelope
    reverse_path: Path
    program: Program | None = None
    announced_octets: int = 0
    recipients: list[Recipient] = field(default_factory=list)
    destinations: Destinations = field(default_factory=Destinations)
    candidate: Recipient | None = None
    resolution: Resolution | None = None
    # What is in use of the mailboxes that were asked for, and the parts of resolutions with room for the message.
    used: dict[int, int] = field(default_factory=dict)
    roomy: set[str] = field(default_factory=set)
    is_overfull: bool = False
    story_id: int = 0
    at: datetime = datetime.min.replace(tzinfo=UTC)
    file: SpoolFile | None = None
    shape: Shape = Shape(0)
    stray: bytes = b""
    evaluation: "Evaluation | None" = None
    ongoing: "OngoingEvaluation | None" = None
    delivered_before: frozenset[str] = frozenset()
    rewrites_sender: bool = False
    seals: Mapping[str, bytes] = field(default_factory=dict)
    signed_by: tuple[str, ...] = ()
    from_given: str = ""
    blank_line: str = ""
    added: bytes = b""
    hold_reason: str = ""
    quarantine: tuple[str, str] | None = None
    refused_by: str = ""
    note: Note = Note()
    _header: Header | None = None

    @property
    def name(self) -> str:
        """What the log and the client call the message."""
        return reference(self.story_id)

    @property
    def sender_domain_id(self) -> int | None:
        """The hosted domain of whom among us it is from; None where that is nobody."""
        sender = self.client.submitter or self.program
        return sender.domain_id if sender else None

    @property
    def message(self) -> SpoolFile:
        """The file, in stages that have one."""
        assert self.file is not None
        return self.file

    @property
    def header(self) -> Header:
        """The header as it is by then."""
        return self._header or self.message.header

    def set_header(self, header: Header) -> None:
        """Have this be the header from now on."""
        self._header = header

    def arrive(self, file: SpoolFile) -> None:
        """The message is there: it gets its id and time."""
        self.file, self.story_id, self.at = file, new_id(), datetime.now(UTC)

    async def take_turn(self) -> None:
        """Before each step that computes: networks take turns at them."""
        if self.services.evaluator:
            await self.services.evaluator.turns.take(holder_key(self.client.address))

    def measure(self) -> None:
        """Note what the message has become by its stages."""
        file = self.message
        is_ascii = not file.eight_bit or self.header.block.isascii()
        self.shape = Shape(file.size_octets, file.eight_bit, is_ascii)

    def abandon(self) -> None:
        """The message that was announced does not come."""
        if self.ongoing:
            self.ongoing.cancel()
            self.ongoing = None


async def run(stages: Sequence[Stage], transaction: Transaction) -> Refusal | None:
    """Have the transaction pass the stages in their order; return the first refusal, which ends it."""
    for stage in stages:
        answer = await stage(transaction)
        if answer is None:
            continue
        if isinstance(answer, Refusal):
            transaction.refused_by = stage_name(stage)
            return answer
        if isinstance(answer, AddFields):
            transaction.added += answer.octets
        elif transaction.quarantine is None:
            transaction.quarantine = stage_name(stage), answer.text
    return None


async def take_recipient(transaction: Transaction, recipient: EnvelopeRecipient, path: Path) -> Refusal | None:
    """Have one recipient, whose path is parsed already, pass its stages; without a refusal it is in the transaction. It
    stays the candidate until the caller has told what came of it."""
    transaction.candidate, transaction.resolution = Recipient(recipient, path), None
    refusal = await run(transaction.intake.recipient, transaction)
    if refusal is None:
        resolution = transaction.resolution
        transaction.recipients.append(Recipient(recipient, path, resolution.domain_id if resolution else None))
    return refusal
