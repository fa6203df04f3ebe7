"""From a transaction to the one operation that files it: who gets which trace fields, what goes on to other hosts."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from mailsuite.directory.resolution import LocalTarget
from mailsuite.mail import srs
from mailsuite.mail.address import Address, Path, parse_path
from mailsuite.mail.envelope import EnvelopeRecipient
from mailsuite.mail.trace_fields import delivered_to, protocol_name, received, return_path
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.destinations import Copy, address_of
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.transaction import Transaction
from mailsuite.queue.operations import Arrival
from mailsuite.store.operations import KEPT, Deliver, LocalDelivery, Outgoing, RemoteRecipient, ReportDelivery
from mailsuite.trace.operations import EventFacts, StoryFacts
from mailsuite.verdict.verdict import Action

# A detail in an address must not hide mail where nobody looks.
_NOT_BY_DETAIL = frozenset({"inbox", "trash", "junk", "drafts", "sent", "archive"})


def delivery(transaction: Transaction, reply: str) -> Deliver | Refusal:
    """Return the operation that files the message, whose octets `transaction.file` has; LOOP when every recipient has
    had it before. `reply` is what the client will hear."""
    found = places(transaction, _trace(transaction) if transaction.intake.has_received else b"")
    if isinstance(found, Refusal):
        return found
    story, file = _story(transaction, reply, found.events), transaction.message
    return Deliver(file.name, transaction.shape.size_octets, story, found.local, found.outgoing, found.reports)


def places(transaction: Transaction, trace: bytes) -> Arrival | Refusal:
    """Return where the message goes, and what the recipients' chains say of the way, those who don't get it included;
    LOOP as above. `trace` is the Received field, or all that stands in front of the message."""
    trace = transaction.added + trace
    local, outgoing, junk = _local(transaction, trace), _outgoing(transaction, trace), _junk_reports(transaction)
    reports = [one for one in transaction.destinations.reports.values() if one.address not in junk]
    if not local and not outgoing and not reports:
        return next(map(decisions.unread_report, junk.values()), decisions.LOOP)
    events = [*transaction.destinations.events(), *_passed_over(transaction), *_unread(transaction, junk)]
    return Arrival(
        list(local.values()),
        outgoing,
        [ReportDelivery(one.kind, one.domain_id, one.address) for one in reports],
        events,
    )


def _trace(transaction: Transaction) -> bytes:
    client, recipients = transaction.client, transaction.recipients
    return received(
        # Where a user was when writing is nobody's business (RFC 6409 §8 leaves it to us). The address that says
        # so (RFC 4291 §2.5.2: the absence of one) keeps the form that SpamAssassin reads as authenticated; 0.0.0.0
        # costs 1.3 points there, no address makes the field one that it can't read.
        helo="unspecified" if client.submitter else client.hello,
        peer_name=None,
        peer_address="::" if client.submitter else client.address,
        by=transaction.services.hostname,
        protocol=protocol_name(
            extended=client.extended,
            tls=client.tls is not None,
            authenticated=client.submitter is not None,
            smtputf8=transaction.envelope.smtputf8,
        ),
        queue_id=transaction.name,
        received_at=transaction.at,
        recipient=str(recipients[0].path) if len(recipients) == 1 else None,
        tls=client.tls,
    )


def _local(transaction: Transaction, trace: bytes) -> dict[int, LocalDelivery]:
    """One delivery for each mailbox, however many recipients lead to it."""
    path, evaluation = return_path(transaction.reverse_path), transaction.evaluation
    found: dict[int, LocalDelivery] = {}
    for mailbox_id, copy in transaction.destinations.copies.items():
        address = _address(copy.target.address)
        if not decisions.delivered_before(address.key, transaction.delivered_before):
            results = evaluation.field(mailbox_id, utf8=transaction.envelope.smtputf8) if evaluation else b""
            found[mailbox_id] = _delivery(transaction, copy, path + delivered_to(address) + results + trace)
    return found


def _outgoing(transaction: Transaction, trace: bytes) -> list[Outgoing]:
    """One envelope for all that are relayed as they are, one for each alias that forwards, and one for what is
    kept; nobody twice."""
    destinations, seen = transaction.destinations, set(transaction.destinations.relayed)
    evaluation, results = transaction.evaluation, _results(transaction)
    envelopes = []
    if destinations.relayed:
        named = {one.recipient.forward_path: one.recipient for one in reversed(transaction.recipients)}
        targets = [named.get(text) or EnvelopeRecipient(text) for text in destinations.relayed.values()]
        envelopes.append(_envelope(transaction, transaction.reverse_path, trace, targets, transaction.sender_domain_id))
    for part in destinations.forwards.values():
        address = address_of(part)
        if decisions.delivered_before(address.key, transaction.delivered_before):
            continue
        if evaluation and part.address in evaluation.judgement.not_forwarded:
            continue
        if targets := [EnvelopeRecipient(text) for key, text in part.remote.items() if key not in seen]:
            seen.update(part.remote)
            sender = _forwarding_sender(transaction, address)
            # Seen again, it has come full circle (RFC 9228 §3).
            prefix = transaction.seals.get(address.domain, b"") + delivered_to(address) + results + trace
            envelopes.append(_envelope(transaction, sender, prefix, targets, part.domain_id))
    # The bare postmaster is the host's own.
    kept = {
        one.address if "@" in one.address else f"{one.address}@{transaction.services.hostname}": one.domain_id
        for one in destinations.kept
    }
    return envelopes + [_kept(transaction, address, domain_id, results + trace) for address, domain_id in kept.items()]


def _results(transaction: Transaction) -> bytes:
    """What was found, for others than a mailbox here."""
    return transaction.evaluation.field(utf8=transaction.envelope.smtputf8) if transaction.evaluation else b""


def _kept(transaction: Transaction, address: str, domain_id: int | None, prefix: bytes) -> Outgoing:
    """What nobody reads yet: it waits in the queue, for whoever will."""
    target = EnvelopeRecipient(address)
    envelope = _envelope(transaction, transaction.reverse_path, prefix, [target], domain_id)
    return msgspec.structs.replace(envelope, hold_reason=KEPT, sender_mailbox_id=None)


def _forwarding_sender(transaction: Transaction, alias: Address) -> Path:
    sender = transaction.reverse_path
    if sender.address is None or not transaction.rewrites_sender:
        return sender
    domain = alias.domain or transaction.services.hostname
    try:
        return Path(srs.forward(sender.address, domain, transaction.services.srs_secrets, transaction.at.date()))
    except srs.SrsTooLong:
        # Somebody of ours learns of a failure, since the sender's address has no room for the way back.
        return Path(Address("postmaster", domain))


def _envelope(
    transaction: Transaction,
    sender: Path,
    prefix: bytes,
    targets: Sequence[EnvelopeRecipient],
    domain_id: int | None,
) -> Outgoing:
    """The envelope that came, with its reverse-path and recipients as they are for the next host."""
    submitter = transaction.client.submitter
    # Some say SMTPUTF8 with everything: the next host must know it only where something needs it (RFC 6531 §3.3).
    is_ascii = transaction.shape.is_header_ascii and prefix.isascii()
    is_ascii = is_ascii and "".join((str(sender), *(target.forward_path for target in targets))).isascii()
    return Outgoing(
        msgspec.structs.replace(
            transaction.envelope,
            reverse_path=str(sender),
            smtputf8=transaction.envelope.smtputf8 and not is_ascii,
            eight_bit=transaction.shape.eight_bit,
            expires_at=transaction.envelope.expires_at or transaction.at + transaction.services.expires_after,
        ),
        prefix=prefix,
        recipients=[RemoteRecipient(target, _address(target.forward_path).domain) for target in targets],
        sender_mailbox_id=submitter.mailbox_id if submitter else None,
        domain_id=domain_id,
        hold_reason=transaction.quarantine[1] if transaction.quarantine else transaction.hold_reason,
    )


def _story(transaction: Transaction, reply: str, expansions: Sequence[EventFacts]) -> StoryFacts:
    client, submitter = transaction.client, transaction.client.submitter
    return StoryFacts(
        story_id=transaction.story_id,
        kind=transaction.intake.kind,
        outcome="accepted",
        at=transaction.at,
        reason=transaction.note.reason,
        client_address=client.address,
        client_name=client.hello,
        reverse_path=transaction.envelope.reverse_path,
        sender_domain_id=transaction.sender_domain_id,
        sender_mailbox_id=submitter.mailbox_id if submitter else None,
        size_octets=transaction.shape.size_octets,
        data=connection_data(
            client,
            recipients=[str(recipient.path) for recipient in transaction.recipients],
            signed_by=transaction.signed_by,
            from_given=transaction.from_given,
            blank_line=transaction.blank_line,
            quarantine=" ".join(transaction.quarantine or ()),
            reply=reply,
            **transaction.note.facts,
            **(transaction.evaluation.facts() if transaction.evaluation else {}),
        ),
        events=[*transaction.note.events, *expansions, *_not_forwarded(transaction)],
    )


def connection_data(client: Client, **more: Any) -> str:
    """Return a story's `data`: what the connection was like, and what the caller adds, as JSON."""
    facts: dict[str, Any] = {"listener": client.listener, "helo": client.hello} if client.listener else {}
    if client.tls:
        facts["tls"] = f"{client.tls.version} {client.tls.cipher}"
    if client.submitter:
        facts["user"] = client.submitter.name
    facts.update((name, value) for name, value in more.items() if value)
    return msgspec.json.encode(facts).decode()


def _delivery(transaction: Transaction, copy: Copy, prefix: bytes) -> LocalDelivery:
    """One mailbox's copy, to Junk when that is the verdict, or in quarantine: a detail in the address names no folder
    for junk."""
    target = copy.target
    delivery = LocalDelivery(
        mailbox_id=target.mailbox_id,
        address=target.address,
        prefix=prefix,
        domain_id=target.domain_id,
        folder=_folder(target),
    )
    if transaction.quarantine:
        reason, why = transaction.quarantine
        return msgspec.structs.replace(delivery, role="junk", folder="", reason=reason, why=why)
    verdict = transaction.evaluation.verdict(target.mailbox_id) if transaction.evaluation else None
    if verdict is None or verdict.action is not Action.JUNK:
        return delivery
    return msgspec.structs.replace(delivery, role="junk", folder="", reason=verdict.reason, why=verdict.text)


def _not_forwarded(transaction: Transaction) -> list[EventFacts]:
    """What is told of recipients whose mail was to go on to other hosts."""
    evaluation = transaction.evaluation
    if evaluation is None:
        return []
    domains = {part.address: part.domain_id for part in transaction.destinations.forwards.values()}
    return [
        EventFacts(
            "dropped", address, evaluation.judgement.whole.reason, "not forwarded, being junk", domains.get(address)
        )
        for address in evaluation.judgement.not_forwarded
    ]


def _passed_over(transaction: Transaction) -> Iterator[EventFacts]:
    """The addresses that had the message before."""
    if not transaction.delivered_before:
        return
    places: dict[str, int | None] = {
        copy.target.address: copy.target.domain_id for copy in transaction.destinations.copies.values()
    }
    places |= {part.address: part.domain_id for part in transaction.destinations.forwards.values()}
    for address, domain_id in places.items():
        if decisions.delivered_before(_address(address).key, transaction.delivered_before):
            yield EventFacts("dropped", address, decisions.LOOP.reason, "it was there before", domain_id)


def _unread(transaction: Transaction, junk: Mapping[str, str]) -> Iterator[EventFacts]:
    """The addresses of the report reader, which reads no junk."""
    for one in transaction.destinations.reports.values():
        if one.address in junk:
            yield EventFacts("dropped", one.address, junk[one.address], "not read, being junk", one.domain_id)


def _junk_reports(transaction: Transaction) -> dict[str, str]:
    """Why mail is not for the report reader, by the reader's address."""
    addresses = {one.address for one in transaction.destinations.reports.values()}
    if transaction.quarantine:
        return dict.fromkeys(addresses, transaction.quarantine[0])
    if not addresses or transaction.evaluation is None:
        return {}
    verdicts = {
        one.address: one.verdict for one in transaction.evaluation.judgement.mailboxes if one.address in addresses
    }
    return {address: verdict.reason for address, verdict in verdicts.items() if verdict.action is Action.JUNK}


@lru_cache(maxsize=4096)
def _address(text: str) -> Address:
    """The address as the directory wrote it, which is a path's form too."""
    address = parse_path(f"<{text}>").address
    assert address is not None
    return address


def _folder(target: LocalTarget) -> str:
    detail = target.detail or ""
    return "" if detail.lower() in _NOT_BY_DETAIL else detail
