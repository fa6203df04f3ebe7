"""A refusal told: to its client by the reply, to the domain's people by a story, of strangers to whoever counts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailsuite.ids import new_id
from mailsuite.mail.client_network import Reach, network_around
from mailsuite.mail.header import header_fields
from mailsuite.mail.message import parse_message
from mailsuite.mail.reply import Reply
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import connection_data
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.transaction import Intake, Services, Transaction
from mailsuite.trace.operations import EventFacts, StoryFacts, TellStory
from mailsuite.writer.spool import HELD_HEAD_OCTETS, SpoolFile

logger = logging.getLogger(__name__)

QUOTED_OCTETS = 8 * 1024


@dataclass(frozen=True, slots=True)
class _Told:
    """What a story says beside the refusal; `stage` is the one that refused."""

    story_id: int
    events: Sequence[EventFacts]
    reverse_path: str = ""
    stage: str = ""
    file: SpoolFile | None = None
    facts: Mapping[str, Any] | None = None
    count: int = 1


def refuse_client(services: Services, intake: Intake, client: Client, refusal: Refusal) -> Reply:
    """Have a refusal that is about no message told; return its reply."""
    logger.info("refused %s: %s", client.address, refusal.reason)
    note_offence(services, client, refusal.reason)
    _tell(services, intake, client, refusal, _Told(new_id(), [_event(refusal)]))
    return refusal.reply


def tell_of_more(services: Services, intake: Intake, client: Client, refusal: Refusal, count: int) -> None:
    """Have so many refusals alike told as one."""
    logger.info("refused %d more like %s: %s", count, client.address, refusal.reason)
    _tell(services, intake, client, refusal, _Told(new_id(), [_event(refusal)], count=count))


def note_offence(services: Services, client: Client, reason: str) -> None:
    """Have it counted against the client's network where it is a stranger's."""
    if client.submitter is None:
        services.note_offence(client.address, reason)


def refuse(transaction: Transaction, refusal: Refusal) -> Reply:
    """Have the refusal of a sender, or of the recipient at hand, told; return its reply."""
    candidate, resolution = transaction.candidate, transaction.resolution
    path = str(candidate.path) if candidate else ""
    logger.info("refused %s: %s %s", transaction.client.address, refusal.reason, path)
    note_offence(transaction.services, transaction.client, refusal.reason)
    event = _event(refusal, path, resolution.domain_id if resolution else None)
    _tell_of(transaction, refusal, new_id(), [event])
    return refusal.reply


def refuse_message(transaction: Transaction, refusal: Refusal, *, is_gone: bool = False) -> Reply:
    """The same of a message that was there: told of each of its recipients, with what its header says unless its file
    `is_gone`, and where that is soon read. The story has an id of its own: where the store was away, it may have taken
    the message after all."""
    logger.info("refused %s: %s", transaction.client.address, refusal.reason)
    note_offence(transaction.services, transaction.client, refusal.reason)
    file = None if is_gone else transaction.file
    quoted = file if file and len(file.head) <= HELD_HEAD_OCTETS else None
    _tell_of(transaction, refusal, new_id(), _of_each(transaction, refusal), quoted)
    return refusal.reply


def refuse_evaluated(transaction: Transaction, refusal: Refusal) -> Reply:
    """The same for what a verdict refuses: its story, which has the message's id, tells why."""
    logger.info("%s: refused %s: %s", transaction.name, transaction.client.address, refusal.reason)
    facts = transaction.evaluation.facts() if transaction.evaluation else {}
    events = _of_each(transaction, refusal)
    _tell_of(transaction, refusal, transaction.story_id, events, transaction.file, facts)
    return refusal.reply


def _event(refusal: Refusal, path: str = "", domain_id: int | None = None) -> EventFacts:
    return EventFacts("refused", path, refusal.reason, str(refusal.reply), domain_id)


def _of_each(transaction: Transaction, refusal: Refusal) -> list[EventFacts]:
    """An event for each recipient, however often it was named."""
    recipients = dict.fromkeys(transaction.recipients)
    return [_event(refusal, str(recipient.path), recipient.domain_id) for recipient in recipients]


def _tell_of(
    transaction: Transaction,
    refusal: Refusal,
    story_id: int,
    events: Sequence[EventFacts],
    file: SpoolFile | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    sender, stage = str(transaction.reverse_path), transaction.refused_by
    told = _Told(story_id, events, sender, stage, file, facts)
    _tell(transaction.services, transaction.intake, transaction.client, refusal, told)


def _tell(services: Services, intake: Intake, client: Client, refusal: Refusal, told: _Told) -> None:
    submitter, file = client.submitter, told.file
    parsed = parse_message(_said(file)) if file else None
    story = StoryFacts(
        story_id=told.story_id,
        kind=intake.kind,
        outcome="deferred" if refusal.reply.is_transient else "refused",
        at=datetime.now(UTC),
        reason=refusal.reason,
        client_address=client.address,
        client_name=client.hello,
        reverse_path=told.reverse_path,
        sender_domain_id=submitter.domain_id if submitter else None,
        sender_mailbox_id=submitter.mailbox_id if submitter else None,
        subject=parsed.subject if parsed else "",
        from_text=parsed.from_text if parsed else "",
        message_id=parsed.message_id if parsed else "",
        size_octets=file.size_octets if file else 0,
        data=connection_data(client, stage=told.stage, reply=str(refusal.reply), **(told.facts or {})),
        events=list(told.events),
    )
    network = str(network_around(client.address, Reach.NEIGHBOURHOOD) or "")
    services.store.send(TellStory(story, network, told.count))


def _said(file: SpoolFile) -> bytes:
    """The fields of a refused message that its story quotes; enough of them, of whatever size they are."""
    return header_fields(file.head, (b"from", b"subject", b"message-id"), exclude=False)[:QUOTED_OCTETS]
