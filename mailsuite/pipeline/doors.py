"""The doors: how a message comes in, whoever brings it. What comes by neither is not filed.

    receive   mail from elsewhere, of a client
    submit    mail of our own people, of a principal

Whoever has a whole message calls these. Where it comes bit by bit, as in an SMTP session, the bits are brought to its
transaction as they come:

    transaction = receiving(services, client, envelope, reverse_path)   # or `submitting`
    reply = await begin(transaction)                                    # MAIL
    reply = await add(transaction, recipient, forward_path)             # RCPT, for each
    reply = await take(transaction, file, flaw)                         # the end of the message
    transaction.abandon()                                               # where it does not come

All that a message changes is one Deliver operation; the 250 is said once the store has answered it (RFC 5321 §6.1).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from mailsuite.mail import reply as replies
from mailsuite.mail.address import Path, parse_path
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.header import normalize_line_ends
from mailsuite.mail.reply import Reply
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import delivery
from mailsuite.pipeline.intakes import MX, SUBMISSION
from mailsuite.pipeline.parties import Client, Submitter
from mailsuite.pipeline.refusing import refuse, refuse_evaluated, refuse_message
from mailsuite.pipeline.transaction import Services, Transaction, run, take_recipient
from mailsuite.writer.operation import Refused, StoreBug, StoreUnavailable
from mailsuite.writer.spool import SpoolFile

logger = logging.getLogger(__name__)

# What the store refuses; of anything else the reason is looked for in the directory.
_OF_THE_STORE = {"limit": decisions.TOO_MANY_AT_ONCE, "storage-full": decisions.STORAGE_FULL}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a whole message: the last reply, those to recipients that were refused by their paths, and the id
    of its story where it was taken."""

    reply: Reply
    refused: dict[str, Reply] = field(default_factory=dict)
    story_id: int | None = None


async def receive(
    services: Services, envelope: Envelope, recipients: Sequence[EnvelopeRecipient], octets: bytes, client: Client
) -> Outcome:
    """Take a message from elsewhere that a client has brought whole, or say why not."""
    reverse_path = parse_path(f"<{envelope.reverse_path}>")
    return await _bring(receiving(services, client, envelope, reverse_path, len(octets)), recipients, octets)


async def submit(
    services: Services, envelope: Envelope, recipients: Sequence[EnvelopeRecipient], octets: bytes, principal: Submitter
) -> Outcome:
    """Take a message that one of our people has written, or say why not. Bare line ends are made CRLF."""
    client, reverse_path = Client("", "", submitter=principal), parse_path(f"<{envelope.reverse_path}>")
    return await _bring(submitting(services, client, envelope, reverse_path, len(octets)), recipients, octets)


def receiving(
    services: Services, client: Client, envelope: Envelope, reverse_path: Path, announced_octets: int = 0
) -> Transaction:
    """Return the transaction of a message from elsewhere; 0 octets where nobody said how large it is."""
    return Transaction(MX, services, client, envelope, reverse_path, announced_octets=announced_octets)


def submitting(
    services: Services, client: Client, envelope: Envelope, reverse_path: Path, announced_octets: int = 0
) -> Transaction:
    """Return the transaction of a message of the client's submitter."""
    return Transaction(SUBMISSION, services, client, envelope, reverse_path, announced_octets=announced_octets)


async def begin(transaction: Transaction) -> Reply:
    """Have the sender pass its stages."""
    refusal = await run(transaction.intake.sender, transaction)
    return refuse(transaction, refusal) if refusal else replies.SENDER_OK


async def add(transaction: Transaction, recipient: EnvelopeRecipient, path: Path) -> Reply:
    """Take or refuse one recipient, whose path is parsed already."""
    try:
        refusal = await take_recipient(transaction, recipient, path)
        if refusal is None:
            return replies.RECIPIENT_OK
        if refusal is decisions.TOO_MANY_TARGETS:
            if transaction.is_overfull:
                # Told once, since hundreds may follow in one write.
                return refusal.reply
            transaction.is_overfull = True
        return refuse(transaction, refusal)
    finally:
        transaction.candidate = transaction.resolution = None


async def take(transaction: Transaction, file: SpoolFile, flaw: Refusal | None = None) -> Reply:
    """Take the message, or say why not. `flaw` is what is wrong with its octets. The file is gone afterwards."""
    transaction.client.messages += 1
    transaction.arrive(file)
    handed_over = False
    try:
        await transaction.take_turn()
        if refusal := flaw or await run(transaction.intake.message, transaction):
            is_verdict = transaction.evaluation is not None and refusal is transaction.evaluation.refusal
            return (refuse_evaluated if is_verdict else refuse_message)(transaction, refusal)
        await transaction.take_turn()
        transaction.measure()
        reply = replies.OK.with_text(f"queued as {transaction.name}")
        operation = delivery(transaction, str(reply))
        if isinstance(operation, Refusal):
            return refuse_message(transaction, operation)
        header = file.final_header.table
        octets = await file.finish()
        handed_over = True
        await transaction.services.store.run(replace(operation, octets=octets, header=header))
    except Refused as refused:
        logger.warning("%s: the store did not take the message: %s", transaction.name, refused)
        file.discard()
        return _refuse_gone(transaction, _OF_THE_STORE.get(refused.code) or await _removed_since(transaction))
    except StoreBug as error:
        logger.error("%s: the store did not take the message: %s", transaction.name, error)
        file.discard()
        return _refuse_gone(transaction, decisions.STORE_UNAVAILABLE)
    except OSError as error:
        if handed_over:
            raise
        logger.error("%s: can't be spooled: %s", transaction.name, error)
        return _refuse_gone(transaction, decisions.STORAGE_FULL)
    except StoreUnavailable as error:
        # It may have taken the file before it went away, so the file stays; what nobody wants is swept.
        logger.error("%s: %s", transaction.name, error)
        return _refuse_gone(transaction, decisions.STORE_UNAVAILABLE)
    finally:
        if not handed_over:
            file.discard()
    client, size_octets = transaction.client, transaction.shape.size_octets
    logger.info("%s: accepted %d octets from %s", transaction.name, size_octets, client.address)
    return reply


def _refuse_gone(transaction: Transaction, refusal: Refusal) -> Reply:
    return refuse_message(transaction, refusal, is_gone=True)


async def _removed_since(transaction: Transaction) -> Refusal:
    """Why the store did not take the message: a mailbox was removed since its RCPT, and nobody got it. A permanent
    refusal where each recipient has one by now."""
    directory, may_relay = transaction.services.directory, transaction.intake.may_relay
    found = [
        decisions.recipient(await directory.resolve(recipient.path), may_relay=may_relay)
        for recipient in transaction.recipients
    ]
    refusals = [refusal for refusal in found if refusal and not refusal.reply.is_transient]
    return refusals[0] if refusals and len(refusals) == len(found) else decisions.RECIPIENT_REMOVED


async def _bring(transaction: Transaction, recipients: Sequence[EnvelopeRecipient], octets: bytes) -> Outcome:
    """Have a whole message pass; it is taken for the recipients that are not refused, if there are any."""
    try:
        reply = await begin(transaction)
        if not reply.is_positive:
            return Outcome(reply)
        replied = {
            one.forward_path: await add(transaction, one, parse_path(f"<{one.forward_path}>")) for one in recipients
        }
        refused = {path: reply for path, reply in replied.items() if not reply.is_positive}
        if not transaction.recipients:
            return Outcome(next(iter(refused.values()), replies.NO_VALID_RECIPIENTS), refused)
        reply = await _take_octets(transaction, octets)
        return Outcome(reply, refused, transaction.story_id if reply.is_positive else None)
    finally:
        transaction.abandon()


async def _take_octets(transaction: Transaction, octets: bytes) -> Reply:
    if transaction.intake.normalizes:
        octets = normalize_line_ends(octets)
    file = transaction.services.spool.new_file()
    try:
        flaw = decisions.octets(octets, size_limit=transaction.services.size_limit)
        await file.write(b"" if flaw else octets)
        return await take(transaction, file, flaw)
    finally:
        file.release()
