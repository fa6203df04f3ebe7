"""Queued mail for a domain that has come to be hosted here: it arrives as at the MX, instead of going out.

Its recipient passes the same stages again; what it leads to is filed from the content that the queue holds, in the
transaction that settles it.
"""

from collections.abc import Callable

from mailsuite.mail.address import parse_path
from mailsuite.mail.parsed_header import Header
from mailsuite.mail.reply import Reply
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import places
from mailsuite.pipeline.direct import at_once
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.stages import header, recipient
from mailsuite.pipeline.transaction import Answer, Intake, Services, Shape, Transaction, run, take_recipient
from mailsuite.queue.operations import Arrival, Claim

STILL_UNREAD = "no-administrator"


async def still_unread(transaction: Transaction) -> Answer:
    """Puts off what is kept for a role that still nobody reads."""
    assert transaction.candidate is not None and transaction.resolution is not None
    path = transaction.candidate.recipient.forward_path
    if any(target.address == path for target in transaction.resolution.kept):
        return Refusal(Reply(450, "2.1", f"nobody reads {path} yet"), STILL_UNREAD)
    return None


REHOSTED = Intake(
    "inbound",
    recipient=(
        recipient.resolve,
        still_unread,
        recipient.deliverable,
        recipient.mailbox_room,
        recipient.target_count,
    ),
    message=(header.seen_before, header.foreign_sender),
)


def arrival(services: Services, claim: Claim, read_head: Callable[[], bytes]) -> Arrival | Refusal:
    """Return where the claimed message goes from here, or why it can't; `read_head` returns the beginning of its
    content, what stands in front of that in the queue left out. Raises AddressError, and what `read_head` raises."""
    envelope = claim.envelope
    transaction = Transaction(
        REHOSTED,
        services,
        Client("", ""),
        envelope,
        parse_path(f"<{envelope.reverse_path}>"),
        announced_octets=claim.size_octets,
        story_id=claim.story_id or claim.message_id,
        at=claim.created_at,
        shape=Shape(claim.size_octets, envelope.eight_bit, not envelope.smtputf8),
    )
    return at_once(_arrive(transaction, claim, read_head))


async def _arrive(transaction: Transaction, claim: Claim, read_head: Callable[[], bytes]) -> Arrival | Refusal:
    path = parse_path(f"<{claim.recipient.forward_path}>")
    if refusal := await take_recipient(transaction, claim.recipient, path):
        return refusal
    head = claim.prefix + read_head()
    transaction.set_header(Header.parse_message(head))
    # What stands in front of it in the queue is its trace.
    return await run(REHOSTED.message, transaction) or places(transaction, claim.prefix)
