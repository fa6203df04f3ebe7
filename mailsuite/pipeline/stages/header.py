"""Stages for a message that is there, over its header: can it be read, does it end, has it been here before?"""

import logging
from collections.abc import Sequence
from functools import partial

from mailsuite.mail.address import AddressError, parse_address
from mailsuite.mail.header import missing_blank_line, unfold
from mailsuite.mailauth.dkim.header import MAX_FIELDS
from mailsuite.pipeline import decisions
from mailsuite.pipeline.stages.recipient import full
from mailsuite.pipeline.transaction import Answer, Transaction
from mailsuite.server.threads import undisturbed
from mailsuite.writer.spool import HEAD_OCTETS, HELD_HEAD_OCTETS

logger = logging.getLogger(__name__)

MAX_SUBMITTED_FIELDS = 1_000
MAX_DELIVERED_TO = 100


async def announced_size(transaction: Transaction) -> Answer:
    """Refuses what nobody has room for, when it is larger than its sender said."""
    size_octets = transaction.message.size_octets
    if size_octets <= transaction.announced_octets:
        return None
    return await full(transaction, [transaction.destinations.whole()], size_octets)


async def long_header(transaction: Transaction) -> Answer:
    """Puts off so long a header as is not read now: it is held while the message is evaluated, and many of them would
    have everybody else's mail put off."""
    is_long = len(transaction.message.head) > HELD_HEAD_OCTETS
    return decisions.TOO_BUSY if is_long and transaction.services.spool.budget.is_pressed else None


async def blank_line(transaction: Transaction) -> Answer:
    """Parts a text that no blank line parts from the header, or from our trace fields: nobody would see it there. Other
    servers do so too; a message like this has no signature that holds."""
    file = transaction.message
    block = file.head
    at = missing_blank_line(block) if len(block) < HEAD_OCTETS else None
    if at is not None:
        lines = block.count(b"\n", 0, at)
        transaction.blank_line = f"before line {lines + 1}"
        logger.info("%s: its header has no end, a blank line is put %s", transaction.name, transaction.blank_line)
        if file.is_small:
            file.end_header(at)
        else:
            await undisturbed(partial(file.end_header, at))
    return None


async def header_size(transaction: Transaction) -> Answer:
    """Refuses a header that no honest mail has."""
    return decisions.header(transaction.message.head, limit_octets=HEAD_OCTETS, max_fields=MAX_FIELDS)


async def submitted_header_size(transaction: Transaction) -> Answer:
    """Refuses a header that no program of a user writes."""
    return decisions.header(transaction.message.head, limit_octets=HEAD_OCTETS, max_fields=MAX_SUBMITTED_FIELDS)


async def hop_count(transaction: Transaction) -> Answer:
    """Refuses a message that has been through too many hosts."""
    return decisions.hops(len(transaction.header.places(b"received")))


async def foreign_sender(transaction: Transaction) -> Answer:
    """Notes whether other hosts would take the sender for forged when the message is forwarded from here."""
    sender = transaction.reverse_path.address
    if sender and transaction.destinations.forwards:
        transaction.rewrites_sender = not await transaction.services.directory.is_hosted(sender.domain)
    return None


async def seen_before(transaction: Transaction) -> Answer:
    """Notes the addresses of ours that had the message: they don't get it again (RFC 9228 §3)."""
    if values := transaction.header.get(b"delivered-to"):
        transaction.delivered_before = address_keys(values)
    return None


def address_keys(values: Sequence[bytes]) -> frozenset[str]:
    """Return the keys of the addresses in Delivered-To fields."""
    keys = set()
    for value in values[:MAX_DELIVERED_TO]:
        try:
            keys.add(parse_address(unfold(value).decode().strip("<> ")).key)
        except (AddressError, UnicodeDecodeError):
            continue
    return frozenset(keys)
