"""What is sent to a host that lacks 8BITMIME or SMTPUTF8: the message's 7-bit copy (RFC 6152 §3), signed anew where its
author is one of ours, since the signature that it was queued with covers other octets.

A message without such a copy, since 8-bit text in it is signed, goes back to its sender with the reason (RFC 6152 §3).
Postfix encodes it and breaks that signature; sendmail and Exim send 8-bit text to hosts that never said they take it.

The copy is made twice, to learn its size and hash and again while it is sent, so that none of it is kept. What others
have signed goes with signatures that fail: better than a bounce, which is what the author would get.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from mmap import mmap

from msgspec import structs

from mailsuite.ids import reference
from mailsuite.mail.address import AddressError
from mailsuite.mail.header import header_end, header_fields, normalize_line_ends, split_fields
from mailsuite.mail.parsed_header import Header
from mailsuite.mail.seven_bit_copy import NotConvertible, seven_bit_copy
from mailsuite.mail.submission import author_addresses
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningKey, signature_fields
from mailsuite.queue.operations import Claim
from mailsuite.writer.storage import MailStorage
from smtpd_service.outbound.courier import Letter

logger = logging.getLogger(__name__)

_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
NOTE = "the host takes ASCII alone: what follows is a copy of the message in which the rest is encoded"

# The keys with which a claimed message is signed whose author is at the domain; none where it came from elsewhere.
Keys = Callable[[Claim, str], Awaitable[Sequence[SigningKey]]]


@dataclass(frozen=True, slots=True)
class _Found:
    """Of a copy: its header, hash and size of its body; `author_domain` is "" where the author is not clear."""

    header: bytes
    author_domain: str
    body_hash: bytes
    body_octets: int


async def seven_bit_letter(letter: Letter, claim: Claim, storage: MailStorage, keys: Keys) -> Letter:
    """The letter with the copy of the claimed message; where there is none, the letter as it is, and why. Raises
    OSError, and SigningError or what `keys` raises: never unsigned by accident."""
    try:
        found = await asyncio.to_thread(_examine, storage, claim.blob)
    except NotConvertible as problem:
        return replace(letter, mail=replace(letter.mail, why_not_ascii=str(problem)), seven_bit=None)
    header = found.header
    if signing := await keys(claim, found.author_domain):
        header = header_fields(header, (b"dkim-signature",), exclude=True)
        header = signature_fields(Header.parse(header), found.body_hash, signing, int(time.time())) + header
    logger.info("%s goes out as a 7-bit copy", reference(claim.message_id))
    front = _ascii_trace(claim.prefix) + header
    is_ascii = "".join(
        (letter.mail.envelope.reverse_path, *(one.forward_path for one in letter.mail.recipients))
    ).isascii()
    mail = replace(
        letter.mail,
        size_octets=len(front) + found.body_octets,
        envelope=structs.replace(letter.mail.envelope, eight_bit=False, smtputf8=not is_ascii),
        note=NOTE,
    )
    return replace(letter, mail=mail, body=partial(_chunks, storage, claim.blob, front), seven_bit=None)


def _ascii_trace(prefix: bytes) -> bytes:
    """What we put in front, so that no bounce is our doing: without the addresses outside ASCII that it names."""
    if prefix.isascii():
        return prefix
    *fields, rest = split_fields(prefix)
    kept = (field for field in fields if field.isascii() or not field.lower().startswith(b"delivered-to:"))
    return b"".join(_NOT_ASCII.sub(b"?", field) + b"\n" for field in kept) + rest


def _examine(storage: MailStorage, name: str) -> _Found:
    with _mapped(storage, name) as octets:
        copy = seven_bit_copy(octets)
        body, size = RelaxedBodyHash(), 0
        for piece in copy.body:
            body.update(piece)
            size += len(piece)
        return _Found(copy.header, _author_domain(octets[: header_end(octets, 0, len(octets))]), body.digest(), size)


def _author_domain(header: bytes) -> str:
    try:
        return author_addresses(Header.parse(normalize_line_ends(header))).from_addresses[0].domain
    except AddressError:
        return ""


async def _chunks(storage: MailStorage, name: str, front: bytes) -> AsyncIterator[bytes]:
    yield front
    with _mapped(storage, name) as octets:
        body = seven_bit_copy(octets).body
        while piece := await asyncio.to_thread(next, body, b""):
            yield piece


@contextmanager
def _mapped(storage: MailStorage, name: str) -> Iterator[bytes | mmap]:
    with storage.open(name) as blob, blob.mapped() as octets:
        yield octets
