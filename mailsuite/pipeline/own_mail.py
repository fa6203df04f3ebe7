"""Mail that this host writes itself: notifications, reports, warnings. It has the null reverse-path, and is signed.

    to = destinations_of([address])
    delivery = compose(OwnMail(octets, Program("example.org", 1), now), to)

It passes an intake of its own, by the same door as our people's: who is unknown here is left out rather than refused to
somebody, a full mailbox gets it all the same, and what can't be signed waits where it would leave.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from msgspec.structs import replace

from mailsuite.directory.resolution import Kind
from mailsuite.ids import new_id
from mailsuite.mail import reply as replies
from mailsuite.mail.address import NULL_PATH, Address, Path
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mailauth.dkim.sign import SigningError
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import delivery
from mailsuite.pipeline.destinations import Destinations
from mailsuite.pipeline.direct import at_once, direct_services
from mailsuite.pipeline.parties import Client, Program
from mailsuite.pipeline.stages.recipient import resolve, role_room, target_count
from mailsuite.pipeline.stages.submission import put_signatures
from mailsuite.pipeline.transaction import Answer, Intake, Note, Transaction, run, take_recipient
from mailsuite.secrets import SecretError
from mailsuite.store.operations import Deliver

logger = logging.getLogger(__name__)

EXPIRES_AFTER = timedelta(days=5)
CANT_SIGN = "can't be signed"


@dataclass(frozen=True, slots=True)
class OwnMail:
    """A message as its program wrote it, and what its story says. With a `story_id` that was drawn before it may be
    filed `again`, and is filed once."""

    octets: bytes
    program: Program
    at: datetime
    note: Note = Note()
    story_id: int = field(default_factory=new_id)
    expires_after: timedelta = EXPIRES_AFTER
    again: bool = False


async def reachable(transaction: Transaction) -> Answer:
    """Leaves out who is nobody here, and other hosts' people where the mail is for ours alone."""
    resolution = transaction.resolution
    assert resolution is not None
    if resolution.kind is Kind.UNHOSTED:
        return None if transaction.intake.may_relay else decisions.RELAYING
    leads = any(part.local or part.remote or part.reports or part.kept for part in resolution.parts)
    return None if leads else decisions.UNKNOWN_RECIPIENT


async def sign_or_hold(transaction: Transaction) -> Answer:
    """Signs in the name of the program's domain; what can't be signed waits, where it would leave."""
    assert transaction.program is not None
    domain = transaction.program.domain
    try:
        keys = await transaction.services.directory.signing_keys(domain)
        put_signatures(transaction, keys)
        transaction.signed_by = tuple(f"{key.selector}._domainkey.{key.domain}" for key in keys)
    except (SecretError, SigningError) as error:
        logger.error("mail of our own for %s can't be signed: %s", domain, error)
        transaction.hold_reason = CANT_SIGN
    return None


OWN_MAIL = Intake(
    "notification",
    recipient=(resolve, reachable, role_room, target_count),
    message=(sign_or_hold,),
    has_received=False,
)
# The same where it may go to other hosts' people by themselves, and not by an alias of ours alone.
OWN_MAIL_ELSEWHERE = Intake(
    OWN_MAIL.kind, recipient=OWN_MAIL.recipient, message=OWN_MAIL.message, has_received=False, may_relay=True
)


async def must_be_signed(transaction: Transaction) -> Answer:
    """Puts off what has no signature."""
    if transaction.signed_by:
        return None
    assert transaction.program is not None
    text = transaction.hold_reason or f"{transaction.program.domain} has no active DKIM key"
    return Refusal(replies.LOCAL_ERROR.with_text(text), decisions.SIGNING_FAILED.reason)


# Mail that is worth nothing without a signature.
SIGNED_MAIL = Intake(OWN_MAIL.kind, message=(sign_or_hold, must_be_signed), has_received=False)


def destinations_of(addresses: Sequence[Address], *, elsewhere: bool = False) -> Destinations:
    """Return where mail of our own to these addresses goes: each mailbox, report reader and address once. Other hosts'
    people are left out unless it may go `elsewhere`, and so is a role for which no more is kept: a stranger can have
    bounces made out to it."""
    transaction = _transaction(OWN_MAIL_ELSEWHERE if elsewhere else OWN_MAIL, Program(""), Envelope(""))
    for address in addresses:
        at_once(take_recipient(transaction, EnvelopeRecipient(str(address)), Path(address)))
    return transaction.destinations


def compose(mail: OwnMail, destinations: Destinations, intake: Intake = OWN_MAIL) -> Deliver | Refusal:
    """Return the operation that files the message, signed, or why it goes nowhere."""
    envelope = Envelope("", smtputf8=True, expires_at=mail.at + mail.expires_after)
    transaction = _transaction(intake, mail.program, envelope)
    transaction.destinations, transaction.note = destinations, mail.note
    transaction.arrive(transaction.services.spool.holding(mail.octets))
    transaction.story_id, transaction.at = mail.story_id, mail.at
    found = at_once(_compose(transaction))
    return found if isinstance(found, Refusal) else replace(found, again=mail.again)


async def _compose(transaction: Transaction) -> Deliver | Refusal:
    if refusal := await run(transaction.intake.message, transaction):
        return refusal
    transaction.measure()
    found = delivery(transaction, "")
    if isinstance(found, Refusal):
        return found
    return replace(found, octets=await transaction.message.finish())


def _transaction(intake: Intake, program: Program, envelope: Envelope) -> Transaction:
    services = direct_services(settings.MAILSUITE.hostname)
    return Transaction(intake, services, Client("", ""), envelope, NULL_PATH, program=program)
