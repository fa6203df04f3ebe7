"""From an envelope to the one operation that files it: who gets which trace fields, what goes on to other hosts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from mailsuite.directory.resolution import LocalTarget
from mailsuite.ids import reference
from mailsuite.mail import srs
from mailsuite.mail.address import Address, AddressError, Path, parse_address, parse_path
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.header import unfold
from mailsuite.mail.trace_fields import TlsInfo, delivered_to, protocol_name, received, return_path
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.destinations import Copy, Destinations, address_of
from mailsuite.pipeline.evaluation import Evaluation
from mailsuite.pipeline.services import Submitter
from mailsuite.queue.operations import Arrival
from mailsuite.store.operations import KEPT, Deliver, LocalDelivery, Outgoing, RemoteRecipient, ReportDelivery
from mailsuite.trace.operations import EventFacts, StoryFacts
from mailsuite.verdict.verdict import Action, Verdict

EXPIRES_AFTER = timedelta(days=5)
MAX_DELIVERED_TO = 100
# A detail in an address must not hide mail where nobody looks.
_NOT_BY_DETAIL = frozenset({"inbox", "trash", "junk", "drafts", "sent", "archive"})


@dataclass(slots=True)
class Client:
    """Who is at the other end. `submitter` is set by a login."""

    address: str
    listener: str
    hello: str = ""
    extended: bool = False
    tls: TlsInfo | None = None
    submitter: Submitter | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """One that was accepted, with its path as it was parsed, and the hosted domain that was addressed."""

    recipient: EnvelopeRecipient
    path: Path
    domain_id: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message that is about to be filed: `spool` is its file, whose header `is_header_ascii` or not, `signed_by` the
    selectors of its signatures, `from_given` the From that it came with where that was written anew, `blank_line` where
    one was put that its header had not. `seals` are ARC sets, by the domain whose address forwards; what is forwarded
    needs a reverse-path of ours when it `rewrites_sender`."""

    story_id: int
    at: datetime
    spool: str
    size_octets: int
    eight_bit: bool
    is_header_ascii: bool
    client: Client
    envelope: Envelope
    reverse_path: Path
    recipients: Sequence[Recipient]
    destinations: Destinations
    rewrites_sender: bool = False
    delivered_before: frozenset[str] = frozenset()
    signed_by: Sequence[str] = ()
    from_given: str = ""
    blank_line: str = ""
    evaluation: Evaluation | None = None
    seals: Mapping[str, bytes] = field(default_factory=dict)


class DeliveryPlanner:
    """Builds Deliver operations for a host of this name; `srs_secrets` sign the reverse-paths of what is forwarded."""

    def __init__(self, hostname: str, srs_secrets: Sequence[bytes], expires_after: timedelta = EXPIRES_AFTER) -> None:
        self._hostname, self._srs_secrets, self._expires_after = hostname, srs_secrets, expires_after

    def compose(self, accepted: PlannedMessage, reply: str) -> Deliver | Refusal:
        """Return the operation; LOOP when every recipient has had the message before."""
        found = self.places(accepted, self._trace(accepted))
        if isinstance(found, Refusal):
            return found
        story = self._story(accepted, reply, found.events)
        return Deliver(accepted.spool, accepted.size_octets, story, found.local, found.outgoing, found.reports)

    def places(self, accepted: PlannedMessage, trace: bytes) -> Arrival | Refusal:
        """Return where the message goes, and what the recipients' chains say of the way, those who don't get it
        included; LOOP as above. `trace` is the Received field, or all that stands in front of the message."""
        local = self._local(accepted, trace)
        outgoing = self._outgoing(accepted, trace)
        junk = _junk_reports(accepted)
        reports = [one for one in accepted.destinations.reports.values() if one.address not in junk]
        if not local and not outgoing and not reports:
            return next(map(decisions.unread_report, junk.values()), decisions.LOOP)
        events = [*accepted.destinations.events(), *_passed_over(accepted), *_unread(accepted, junk)]
        return Arrival(
            list(local.values()),
            outgoing,
            [ReportDelivery(one.kind, one.domain_id, one.address) for one in reports],
            events,
        )

    def _trace(self, accepted: PlannedMessage) -> bytes:
        client, recipients = accepted.client, accepted.recipients
        return received(
            # Where a user was when writing is nobody's business (RFC 6409 §8 leaves it to us). The address that says
            # so (RFC 4291 §2.5.2: the absence of one) keeps the form that SpamAssassin reads as authenticated; 0.0.0.0
            # costs 1.3 points there, no address makes the field one that it can't read.
            helo="unspecified" if client.submitter else client.hello,
            peer_name=None,
            peer_address="::" if client.submitter else client.address,
            by=self._hostname,
            protocol=protocol_name(
                extended=client.extended,
                tls=client.tls is not None,
                authenticated=client.submitter is not None,
                smtputf8=accepted.envelope.smtputf8,
            ),
            queue_id=reference(accepted.story_id),
            received_at=accepted.at,
            recipient=str(recipients[0].path) if len(recipients) == 1 else None,
            tls=client.tls,
        )

    def _local(self, accepted: PlannedMessage, trace: bytes) -> dict[int, LocalDelivery]:
        """One delivery for each mailbox, however many recipients lead to it."""
        path, evaluation = return_path(accepted.reverse_path), accepted.evaluation
        found: dict[int, LocalDelivery] = {}
        for mailbox_id, copy in accepted.destinations.copies.items():
            address = _address(copy.target.address)
            if not decisions.delivered_before(address.key, accepted.delivered_before):
                results = evaluation.field(mailbox_id, utf8=accepted.envelope.smtputf8) if evaluation else b""
                found[mailbox_id] = _delivery(copy, path + delivered_to(address) + results + trace, evaluation)
        return found

    def _outgoing(self, accepted: PlannedMessage, trace: bytes) -> list[Outgoing]:
        """One envelope for all that are relayed as they are, one for each alias that forwards, and one for what is
        kept; nobody twice."""
        submitter, destinations, seen = (
            accepted.client.submitter,
            accepted.destinations,
            set(accepted.destinations.relayed),
        )
        envelopes = []
        if destinations.relayed:
            domain_id = submitter.domain_id if submitter else None
            named = {one.recipient.forward_path: one.recipient for one in reversed(accepted.recipients)}
            targets = [named[text] for text in destinations.relayed.values()]
            envelopes.append(self._envelope(accepted, accepted.reverse_path, trace, targets, domain_id))
        for part in destinations.forwards.values():
            address = address_of(part)
            if decisions.delivered_before(address.key, accepted.delivered_before):
                continue
            if accepted.evaluation and part.address in accepted.evaluation.judgement.not_forwarded:
                continue
            if targets := [EnvelopeRecipient(text) for key, text in part.remote.items() if key not in seen]:
                seen.update(part.remote)
                sender = self._forwarding_sender(accepted, address)
                # Seen again, it has come full circle (RFC 9228 §3).
                results = accepted.evaluation.field(utf8=accepted.envelope.smtputf8) if accepted.evaluation else b""
                prefix = accepted.seals.get(address.domain, b"") + delivered_to(address) + results + trace
                envelopes.append(self._envelope(accepted, sender, prefix, targets, part.domain_id))
        # The bare postmaster is the host's own.
        kept = {
            one.address if "@" in one.address else f"{one.address}@{self._hostname}": one.domain_id
            for one in destinations.kept
        }
        return envelopes + [self._kept(accepted, address, domain_id, trace) for address, domain_id in kept.items()]

    def _kept(self, accepted: PlannedMessage, address: str, domain_id: int | None, trace: bytes) -> Outgoing:
        """What nobody reads yet: it waits in the queue, for whoever will."""
        results = accepted.evaluation.field(utf8=accepted.envelope.smtputf8) if accepted.evaluation else b""
        target = EnvelopeRecipient(address)
        envelope = self._envelope(accepted, accepted.reverse_path, results + trace, [target], domain_id)
        return msgspec.structs.replace(envelope, hold_reason=KEPT, sender_mailbox_id=None)

    def _forwarding_sender(self, accepted: PlannedMessage, alias: Address) -> Path:
        sender = accepted.reverse_path
        if sender.address is None or not accepted.rewrites_sender:
            return sender
        domain = alias.domain or self._hostname
        try:
            return Path(srs.forward(sender.address, domain, self._srs_secrets, accepted.at.date()))
        except srs.SrsTooLong:
            # Somebody of ours learns of a failure, since the sender's address has no room for the way back.
            return Path(Address("postmaster", domain))

    def _envelope(
        self,
        accepted: PlannedMessage,
        sender: Path,
        prefix: bytes,
        targets: Sequence[EnvelopeRecipient],
        domain_id: int | None,
    ) -> Outgoing:
        """The envelope that came, with its reverse-path and recipients as they are for the next host."""
        submitter = accepted.client.submitter
        # Some say SMTPUTF8 with everything: the next host must know it only where something needs it (RFC 6531 §3.3).
        is_ascii = accepted.is_header_ascii and prefix.isascii()
        is_ascii = is_ascii and "".join((str(sender), *(target.forward_path for target in targets))).isascii()
        return Outgoing(
            msgspec.structs.replace(
                accepted.envelope,
                reverse_path=str(sender),
                smtputf8=accepted.envelope.smtputf8 and not is_ascii,
                eight_bit=accepted.eight_bit,
                expires_at=accepted.envelope.expires_at or accepted.at + self._expires_after,
            ),
            prefix=prefix,
            recipients=[RemoteRecipient(target, _address(target.forward_path).domain) for target in targets],
            sender_mailbox_id=submitter.mailbox_id if submitter else None,
            domain_id=domain_id,
        )

    def _story(self, accepted: PlannedMessage, reply: str, expansions: Sequence[EventFacts]) -> StoryFacts:
        client, submitter = accepted.client, accepted.client.submitter
        return StoryFacts(
            story_id=accepted.story_id,
            kind="submission" if submitter else "inbound",
            outcome="accepted",
            at=accepted.at,
            client_address=client.address,
            client_name=client.hello,
            reverse_path=accepted.envelope.reverse_path,
            sender_domain_id=submitter.domain_id if submitter else None,
            sender_mailbox_id=submitter.mailbox_id if submitter else None,
            size_octets=accepted.size_octets,
            data=connection_data(
                client,
                recipients=[str(recipient.path) for recipient in accepted.recipients],
                signed_by=accepted.signed_by,
                from_given=accepted.from_given,
                blank_line=accepted.blank_line,
                reply=reply,
                **(accepted.evaluation.facts() if accepted.evaluation else {}),
            ),
            events=[*expansions, *_not_forwarded(accepted)],
        )


def address_keys(values: Sequence[bytes]) -> frozenset[str]:
    """Return the keys of the addresses in Delivered-To fields."""
    keys = set()
    for value in values[:MAX_DELIVERED_TO]:
        try:
            keys.add(parse_address(unfold(value).decode().strip("<> ")).key)
        except (AddressError, UnicodeDecodeError):
            continue
    return frozenset(keys)


def connection_data(client: Client, **more: Any) -> str:
    """Return a story's `data`: what the connection was like, and what the caller adds, as JSON."""
    facts: dict[str, Any] = {"listener": client.listener, "helo": client.hello}
    if client.tls:
        facts["tls"] = f"{client.tls.version} {client.tls.cipher}"
    if client.submitter:
        facts["user"] = client.submitter.name
    facts.update((name, value) for name, value in more.items() if value)
    return msgspec.json.encode(facts).decode()


def _delivery(copy: Copy, prefix: bytes, evaluation: Evaluation | None) -> LocalDelivery:
    """One mailbox's copy, to Junk when that is the verdict: a detail in the address names no folder for junk."""
    target = copy.target
    delivery = LocalDelivery(
        mailbox_id=target.mailbox_id,
        address=target.address,
        prefix=prefix,
        domain_id=target.domain_id,
        folder=_folder(target),
    )
    verdict = evaluation.verdict(target.mailbox_id) if evaluation else None
    if verdict is None or verdict.action is not Action.JUNK:
        return delivery
    return msgspec.structs.replace(delivery, role="junk", folder="", reason=verdict.reason, why=verdict.text)


def _not_forwarded(accepted: PlannedMessage) -> list[EventFacts]:
    """What is told of recipients whose mail was to go on to other hosts."""
    evaluation = accepted.evaluation
    if evaluation is None:
        return []
    domains = {part.address: part.domain_id for part in accepted.destinations.forwards.values()}
    return [
        EventFacts(
            "dropped", address, evaluation.judgement.whole.reason, "not forwarded, being junk", domains.get(address)
        )
        for address in evaluation.judgement.not_forwarded
    ]


def _passed_over(accepted: PlannedMessage) -> Iterator[EventFacts]:
    """The addresses that had the message before."""
    if not accepted.delivered_before:
        return
    places: dict[str, int | None] = {
        copy.target.address: copy.target.domain_id for copy in accepted.destinations.copies.values()
    }
    places |= {part.address: part.domain_id for part in accepted.destinations.forwards.values()}
    for address, domain_id in places.items():
        if decisions.delivered_before(_address(address).key, accepted.delivered_before):
            yield EventFacts("dropped", address, decisions.LOOP.reason, "it was there before", domain_id)


def _unread(accepted: PlannedMessage, junk: Mapping[str, Verdict]) -> Iterator[EventFacts]:
    """The addresses of the report reader, which reads no junk."""
    for one in accepted.destinations.reports.values():
        if one.address in junk:
            yield EventFacts("dropped", one.address, junk[one.address].reason, "not read, being junk", one.domain_id)


def _junk_reports(accepted: PlannedMessage) -> dict[str, Verdict]:
    """The verdicts on what is not for the report reader, by its address."""
    addresses = {one.address for one in accepted.destinations.reports.values()}
    if not addresses or accepted.evaluation is None:
        return {}
    verdicts = {one.address: one.verdict for one in accepted.evaluation.judgement.mailboxes if one.address in addresses}
    return {address: verdict for address, verdict in verdicts.items() if verdict.action is Action.JUNK}


@lru_cache(maxsize=4096)
def _address(text: str) -> Address:
    """The address as the directory wrote it, which is a path's form too."""
    address = parse_path(f"<{text}>").address
    assert address is not None
    return address


def _folder(target: LocalTarget) -> str:
    detail = target.detail or ""
    return "" if detail.lower() in _NOT_BY_DETAIL else detail
