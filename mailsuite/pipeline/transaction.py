"""The transactions of one session: recipients are judged, the message is handed to the store service.

All that a transaction changes is one Deliver operation; the 250 after the final dot is said once the store has
answered it (RFC 5321 §6.1).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from mailsuite.directory.resolution import Part, Resolution
from mailsuite.ids import new_id, reference
from mailsuite.mail import reply as replies
from mailsuite.mail.address import NULL_PATH, Path
from mailsuite.mail.client_network import Reach, network_around
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.header import collect_fields, header_end, header_fields, missing_blank_line
from mailsuite.mail.message import parse_message
from mailsuite.mail.reply import Reply
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import (
    Client,
    DeliveryPlanner,
    PlannedMessage,
    Recipient,
    address_keys,
    connection_data,
)
from mailsuite.pipeline.destinations import Destinations
from mailsuite.pipeline.evaluation import Evaluation
from mailsuite.pipeline.evaluator import Evaluator, OngoingEvaluation
from mailsuite.pipeline.sealing import seals, without_forged_fields
from mailsuite.pipeline.services import DirectoryView, Store
from mailsuite.server.spool import HEAD_OCTETS, HELD_HEAD_OCTETS, Spool, SpoolFile, undisturbed
from mailsuite.trace.operations import EventFacts, StoryFacts, TellStory
from mailsuite.writer.operation import Refused, StoreBug, StoreUnavailable

logger = logging.getLogger(__name__)

QUOTED_OCTETS = 8 * 1024
# What the store refuses; of anything else the reason is looked for in the directory.
_OF_THE_STORE = {"limit": decisions.TOO_MANY_AT_ONCE, "storage-full": decisions.STORAGE_FULL}


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions of a process share."""

    hostname: str
    directory: DirectoryView
    store: Store
    spool: Spool
    composer: DeliveryPlanner
    # Counts what a stranger does wrong, by its address and the word for it.
    note_offence: Callable[[str, str], None]
    evaluator: Evaluator | None = None
    disk_reserve_octets: int = 256 * 1024 * 1024
    messages_per_connection: int = 1000

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
class Prepared:
    """What is known of a message before it is filed."""

    delivered_before: frozenset[str] = frozenset()
    signed_by: tuple[str, ...] = ()
    from_given: str = ""
    evaluation: Evaluation | None = None
    seals: Mapping[str, bytes] = field(default_factory=dict)


class Reception:
    """The MX's side of a session: anybody may send to us, nobody through us."""

    kind = "inbound"
    may_relay = False

    def __init__(self, here: Services, client: Client) -> None:
        self._here, self.client = here, client
        self._begin_transaction(None, NULL_PATH, 0)
        self._messages = 0
        self._evaluation: OngoingEvaluation | None = None

    def _begin_transaction(self, envelope: Envelope | None, reverse_path: Path, announced_octets: int) -> None:
        self._envelope, self._reverse_path, self._announced_octets = envelope, reverse_path, announced_octets
        self._recipients: list[Recipient] = []
        self._destinations = Destinations()
        # What is in use of the mailboxes that were asked for, and the parts of resolutions with room for the message.
        self._used: dict[int, int] = {}
        self._roomy: set[str] = set()
        self._is_overfull = False
        self._blank_line = ""  # where one was put into its message, for people

    async def mail(self, envelope: Envelope, reverse_path: Path, announced_octets: int = 0) -> Reply:
        """Begin a transaction; 0 octets where the client did not say how large its message is."""
        self._begin_transaction(envelope, reverse_path, announced_octets)
        if self._messages >= self._here.messages_per_connection:
            return self.refuse(decisions.TOO_MANY_MESSAGES)
        refusal = self._here.lacks_room(announced_octets) or await self._refuse_sender(reverse_path)
        if refusal:
            return self.refuse(refusal)
        self._begin_evaluation()
        return replies.SENDER_OK

    async def rcpt(self, recipient: EnvelopeRecipient, path: Path) -> Reply:
        """Take or refuse one recipient."""
        null_sender = self._reverse_path.is_null
        refusal = decisions.another_recipient(null_sender=null_sender, accepted=len(self._recipients))
        if refusal:
            return self.refuse(refusal, path)
        resolution = await self._here.directory.resolve(path)
        refusal = decisions.recipient(resolution, may_relay=self.may_relay)
        refusal = refusal or await self._refuse_full(resolution.parts, self._announced_octets)
        for target in resolution.kept:
            if refusal is None and await self._here.directory.keeps_no_more(target.domain_id):
                refusal = decisions.MAILBOX_FULL
        if refusal:
            return self.refuse(refusal, path, resolution.domain_id)
        if not self._destinations.add(path, resolution):
            return self._refuse_one_more(path, resolution)
        self._recipients.append(Recipient(recipient, path, resolution.domain_id))
        return replies.RECIPIENT_OK

    def _refuse_one_more(self, path: Path, resolution: Resolution) -> Reply:
        """Have the client send the rest in another message; told once, since hundreds may follow in one write."""
        if self._is_overfull:
            return decisions.TOO_MANY_TARGETS.reply
        self._is_overfull = True
        return self.refuse(decisions.TOO_MANY_TARGETS, path, resolution.domain_id)

    async def message(self, file: SpoolFile, flaw: Refusal | None) -> Reply:
        """Take the message of this transaction, or say why not. `flaw` is what is wrong with its octets."""
        self._messages += 1
        handed_over = False
        try:
            await self._take_turn()
            story_id, at = new_id(), datetime.now(UTC)
            prepared: Prepared | Refusal | None = flaw or await self._refuse_size(file.size_octets)
            prepared = prepared or self._refuse_head(file)
            if prepared is None:
                self._blank_line = await _end_header(file, reference(story_id))
                prepared = await self._prepare(file, story_id, at)
            if isinstance(prepared, Refusal):
                return self._refuse_message(prepared, file)
            if prepared.evaluation and prepared.evaluation.refusal:
                return self._refuse_evaluated(prepared.evaluation, prepared.evaluation.refusal, file, story_id)
            await self._take_turn()
            reply = replies.OK.with_text(f"queued as {reference(story_id)}")
            accepted = await self._accepted(file, story_id, at, prepared)
            operation = self._here.composer.compose(accepted, str(reply))
            if isinstance(operation, Refusal):
                return self._refuse_message(operation, file)
            octets = await file.finish()
            handed_over = True
            await self._here.store.run(replace(operation, octets=octets))
        except Refused as refusal:
            logger.warning("%s: the store did not take the message: %s", reference(story_id), refusal)
            file.discard()
            return self._refuse_message(_OF_THE_STORE.get(refusal.code) or await self._removed_since())
        except StoreBug as error:
            logger.error("%s: the store did not take the message: %s", reference(story_id), error)
            file.discard()
            return self._refuse_message(decisions.STORE_UNAVAILABLE)
        except OSError as error:
            if handed_over:
                raise
            logger.error("%s: can't be spooled: %s", reference(story_id), error)
            return self._refuse_message(decisions.STORAGE_FULL)
        except StoreUnavailable as error:
            # It may have taken the file before it went away, so the file stays; what nobody wants is swept.
            logger.error("%s: %s", reference(story_id), error)
            return self._refuse_message(decisions.STORE_UNAVAILABLE)
        finally:
            if not handed_over:
                file.discard()
        logger.info("%s: accepted %d octets from %s", reference(story_id), file.size_octets, self.client.address)
        return reply

    def _refuse_head(self, file: SpoolFile) -> Refusal | None:
        """Why so long a header is not read now: it is held while the message is evaluated, and many of them would have
        everybody else's mail put off."""
        is_long = len(file.head) > HELD_HEAD_OCTETS
        return decisions.TOO_BUSY if is_long and self._here.spool.budget.is_pressed else None

    async def _take_turn(self) -> None:
        """Before each step that computes: networks take turns at them."""
        if self._here.evaluator:
            await self._here.evaluator.turns.take(network_around(self.client.address, Reach.HOLDER))

    def refuse(self, refusal: Refusal, path: Path | None = None, domain_id: int | None = None) -> Reply:
        """Have the refusal told as a story, and return its reply."""
        logger.info("refused %s: %s %s", self.client.address, refusal.reason, path or "")
        self.note_offence(refusal.reason)
        event = EventFacts("refused", str(path or ""), refusal.reason, str(refusal.reply), domain_id)
        self._tell(refusal, new_id(), [event])
        return refusal.reply

    def tell_of_more(self, refusal: Refusal, count: int) -> None:
        """Have so many refusals alike told as one."""
        logger.info("refused %d more like %s: %s", count, self.client.address, refusal.reason)
        self._tell(refusal, new_id(), [EventFacts("refused", "", refusal.reason, str(refusal.reply))], count=count)

    def note_offence(self, reason: str) -> None:
        """Count what strangers do wrong against their network (mailsuite.abuse.offences)."""
        if self.client.submitter is None:
            self._here.note_offence(self.client.address, reason)

    def _refuse_message(self, refusal: Refusal, file: SpoolFile | None = None) -> Reply:
        """The same of a message that was there: told of each of its recipients, with what its header says while the
        file has it, and where that is soon read. The story has an id of its own: where the store was away, it may have
        taken the message after all."""
        logger.info("refused %s: %s", self.client.address, refusal.reason)
        self.note_offence(refusal.reason)
        quoted = file if file and len(file.head) <= HELD_HEAD_OCTETS else None
        self._tell(refusal, new_id(), self._refused(refusal), quoted)
        return refusal.reply

    def _refuse_evaluated(self, evaluation: Evaluation, refusal: Refusal, file: SpoolFile, story_id: int) -> Reply:
        """The same for what a verdict refuses: its story tells why, to each recipient's domain."""
        logger.info("%s: refused %s: %s", reference(story_id), self.client.address, refusal.reason)
        self._tell(refusal, story_id, self._refused(refusal), file, evaluation.facts())
        return refusal.reply

    def _refused(self, refusal: Refusal) -> list[EventFacts]:
        """An event for each recipient, however often it was named."""
        reply, recipients = str(refusal.reply), dict.fromkeys(self._recipients)
        return [EventFacts("refused", str(one.path), refusal.reason, reply, one.domain_id) for one in recipients]

    def _tell(
        self,
        refusal: Refusal,
        story_id: int,
        events: list[EventFacts],
        file: SpoolFile | None = None,
        facts: Mapping[str, Any] | None = None,
        count: int = 1,
    ) -> None:
        client, submitter = self.client, self.client.submitter
        parsed = parse_message(_said(file)) if file else None
        story = StoryFacts(
            story_id=story_id,
            kind=self.kind,
            outcome="deferred" if refusal.reply.is_transient else "refused",
            at=datetime.now(UTC),
            reason=refusal.reason,
            client_address=client.address,
            client_name=client.hello,
            reverse_path=str(self._reverse_path),
            sender_domain_id=submitter.domain_id if submitter else None,
            sender_mailbox_id=submitter.mailbox_id if submitter else None,
            subject=parsed.subject if parsed else "",
            from_text=parsed.from_text if parsed else "",
            message_id=parsed.message_id if parsed else "",
            size_octets=file.size_octets if file else 0,
            data=connection_data(client, reply=str(refusal.reply), **(facts or {})),
            events=events,
        )
        self._here.store.send(TellStory(story, str(network_around(client.address, Reach.NEIGHBOURHOOD) or ""), count))

    async def _accepted(self, file: SpoolFile, story_id: int, at: datetime, prepared: Prepared) -> PlannedMessage:
        assert self._envelope is not None
        forwards = self._destinations.forwards
        return PlannedMessage(
            story_id=story_id,
            at=at,
            spool=file.name,
            size_octets=file.size_octets,
            eight_bit=file.eight_bit,
            is_header_ascii=not file.eight_bit or _header(file).isascii(),
            client=self.client,
            envelope=self._envelope,
            reverse_path=self._reverse_path,
            recipients=self._recipients,
            destinations=self._destinations,
            rewrites_sender=bool(forwards) and await self._is_foreign(self._reverse_path),
            delivered_before=prepared.delivered_before,
            signed_by=prepared.signed_by,
            from_given=prepared.from_given,
            blank_line=self._blank_line,
            evaluation=prepared.evaluation,
            seals=prepared.seals,
        )

    async def _refuse_sender(self, reverse_path: Path) -> Refusal | None:
        return None

    async def _prepare(self, file: SpoolFile, story_id: int, at: datetime) -> Prepared | Refusal:
        """Look for loops: too many hosts on the way, or a Delivered-To of ours; and have the message evaluated."""
        block = _header(file)
        if refusal := decisions.header(block, limit_octets=HEAD_OCTETS):
            return refusal
        fields = collect_fields(block)
        if refusal := decisions.hops(len(fields.get(b"received", ()))):
            return refusal
        values = fields.get(b"delivered-to")
        before = address_keys(values) if values else frozenset()
        if self._evaluation is None or self._here.evaluator is None:
            return Prepared(before)
        ongoing, self._evaluation = self._evaluation, None
        name = reference(story_id)
        evaluation = await ongoing.finish(file, len(block), self._recipients, self._destinations, name)
        if evaluation.refusal:
            return Prepared(evaluation=evaluation)
        evaluation, block = await without_forged_fields(file, len(block), evaluation, self._here.evaluator.authserv_ids)
        directory, destinations = self._here.directory, self._destinations
        sealed = await seals(file, block, evaluation, destinations, directory, at, name)
        return Prepared(before, evaluation=evaluation, seals=sealed)

    def _begin_evaluation(self) -> None:
        """Ask what can be asked before the message is there. Our own users' mail is not evaluated."""
        self.end_evaluation()
        if self._here.evaluator and not self.may_relay:
            self._evaluation = self._here.evaluator.begin(self.client, self._reverse_path)

    def end_evaluation(self) -> None:
        """The message that was announced does not come."""
        if self._evaluation:
            self._evaluation.cancel()
            self._evaluation = None

    async def _removed_since(self) -> Refusal:
        """Why the store did not take the message: a mailbox was removed since its RCPT, and nobody got it. A permanent
        refusal where each recipient has one by now."""
        found = [
            decisions.recipient(await self._here.directory.resolve(one.path), may_relay=self.may_relay)
            for one in self._recipients
        ]
        refusals = [refusal for refusal in found if refusal and not refusal.reply.is_transient]
        return refusals[0] if refusals and len(refusals) == len(found) else decisions.RECIPIENT_REMOVED

    async def _refuse_size(self, size_octets: int) -> Refusal | None:
        """Why nobody has room for the message, when it is larger than its sender said."""
        if size_octets <= self._announced_octets:
            return None
        return await self._refuse_full([self._destinations.whole()], size_octets)

    async def _refuse_full(self, parts: Sequence[Part], size_octets: int) -> Refusal | None:
        """Why none of the parts has room. The usage of mailboxes is asked for once in a transaction, that of all which
        are not known yet by one question."""
        refusal = None
        for part in parts:
            if part.key in self._roomy:
                return None
            targets = part.local.values()
            if all(target.quota_octets for target in targets):
                unknown = [target.mailbox_id for target in targets if target.mailbox_id not in self._used]
                self._used.update(await self._here.directory.used_octets(unknown) if unknown else {})
            refusal = decisions.quota(part, self._used, size_octets)
            if refusal is None:
                self._roomy.add(part.key)
                return None
        return refusal

    async def _is_foreign(self, sender: Path) -> bool:
        """Whether other hosts would take this sender for forged when it comes from us."""
        return sender.address is not None and not await self._here.directory.is_hosted(sender.address.domain)


def _said(file: SpoolFile) -> bytes:
    """The fields of a refused message that its story quotes; enough of them, of whatever size they are."""
    return header_fields(_header(file), (b"from", b"subject", b"message-id"), exclude=False)[:QUOTED_OCTETS]


async def _end_header(file: SpoolFile, name: str) -> str:
    """Part a text that no blank line parts from the header, or from our trace fields: nobody would see it there. Other
    servers do so too; a message like this has no signature that holds. Return where, for people; "" where not."""
    block = _header(file)
    at = missing_blank_line(block) if len(block) < HEAD_OCTETS else None
    if at is None:
        return ""
    lines = block.count(b"\n", 0, at)
    where = f"before line {lines + 1}"
    logger.info("%s: its header has no end, a blank line is put %s", name, where)
    if file.is_small:
        file.end_header(at)
    else:
        await undisturbed(partial(file.end_header, at))
    return where


def _header(file: SpoolFile) -> bytes:
    """The header as it was received."""
    return file.head[: header_end(file.head, 0, len(file.head))]
