"""Stages at RCPT: is this recipient ours, and is there room for the message?"""

from collections.abc import Sequence

from mailsuite.directory.resolution import Part
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.transaction import Answer, Transaction


async def bounce_crowd(transaction: Transaction) -> Answer:
    """Refuses a crowd as recipients of a bounce."""
    is_null, accepted = transaction.reverse_path.is_null, len(transaction.recipients)
    return decisions.another_recipient(null_sender=is_null, accepted=accepted)


async def resolve(transaction: Transaction) -> Answer:
    """Finds out where the recipient leads."""
    assert transaction.candidate is not None
    transaction.resolution = await transaction.services.directory.resolve(transaction.candidate.path)
    return None


async def deliverable(transaction: Transaction) -> Answer:
    """Refuses whom nobody here is, and other hosts' people where the mail may not be relayed."""
    assert transaction.resolution is not None
    return decisions.recipient(transaction.resolution, may_relay=transaction.intake.may_relay)


async def mailbox_room(transaction: Transaction) -> Answer:
    """Refuses a recipient whose mailboxes are all full."""
    assert transaction.resolution is not None
    return await full(transaction, transaction.resolution.parts, transaction.announced_octets)


async def role_room(transaction: Transaction) -> Answer:
    """Refuses mail to a role that nobody reads once as much of it is kept as is kept at all."""
    assert transaction.resolution is not None
    for target in transaction.resolution.kept:
        if await transaction.services.directory.keeps_no_more(target.domain_id):
            return decisions.MAILBOX_FULL
    return None


async def target_count(transaction: Transaction) -> Answer:
    """Takes the recipient, or has its client send to the rest in another message."""
    assert transaction.candidate is not None and transaction.resolution is not None
    if transaction.destinations.add(transaction.candidate.path, transaction.resolution):
        return None
    return decisions.TOO_MANY_TARGETS


async def full(transaction: Transaction, parts: Sequence[Part], size_octets: int) -> Refusal | None:
    """Return why none of the parts has room for a message of that size. The usage of mailboxes is asked for once in a
    transaction, that of all which are not known yet by one question."""
    refusal = None
    for part in parts:
        if part.key in transaction.roomy:
            return None
        targets = part.local.values()
        if all(target.quota_octets for target in targets):
            unknown = [target.mailbox_id for target in targets if target.mailbox_id not in transaction.used]
            transaction.used.update(await transaction.services.directory.used_octets(unknown) if unknown else {})
        refusal = decisions.quota(part, transaction.used, size_octets)
        if refusal is None:
            transaction.roomy.add(part.key)
            return None
    return refusal
