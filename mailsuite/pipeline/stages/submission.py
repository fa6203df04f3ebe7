"""Stages for a message of one of our users (RFC 6409), who has logged in and writes as themselves.

It is completed and signed before it is filed: what is stored, delivered and queued are the signed octets. A domain with
an active key sends nothing unsigned: when signing fails, the client is told to try again.
"""

import logging
from functools import partial

from mailsuite.mail.address import Address, AddressError, parse_address
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.header import unfold
from mailsuite.mail.message import FROM_CHARACTERS
from mailsuite.mail.parsed_header import Header
from mailsuite.mail.submission import author_addresses, complete_authors, prepare_header
from mailsuite.mailauth.authentication_results import claiming
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, SigningKey, signature_fields
from mailsuite.pipeline import decisions
from mailsuite.pipeline.transaction import Answer, Transaction
from mailsuite.server.threads import undisturbed

logger = logging.getLogger(__name__)


async def complete_header(transaction: Transaction) -> Answer:
    """Adds what the header lacks (RFC 6409 §8), and takes out what only we may write."""
    hostname, seed = transaction.services.hostname, transaction.name
    header, transaction.stray = prepare_header(
        transaction.header, hostname=hostname, now=transaction.at, message_id_seed=seed
    )
    # What a user writes in our name would be signed by us, and believed here (RFC 8601 §5).
    header = header.without(claiming(header, transaction.services.authserv_ids))
    is_report, own = transaction.reverse_path.is_null, _own_address(transaction)
    if own and (completed := complete_authors(header, own, is_report=is_report)) is not header:
        transaction.from_given, header = _from_text(header), completed
    transaction.set_header(header)
    return None


async def own_authors(transaction: Transaction) -> Answer:
    """Refuses a message whose authors can't be told for certain, or are not the submitter."""
    submitter = transaction.client.submitter
    assert submitter is not None
    try:
        authors = author_addresses(transaction.header)
    except AddressError as error:
        return decisions.bad_from(str(error))
    for address in authors.all:
        if not await transaction.services.directory.may_send_as(submitter.user_id, address):
            return decisions.FROM_NOT_OWNED
    return None


async def sign(transaction: Transaction) -> Answer:
    """Puts the completed header, under the signatures of its author's domain, in place of the one that came; puts off
    what can't be signed: without a signature it would be taken for forged."""
    author = author_addresses(transaction.header).from_addresses[0]
    try:
        keys = await transaction.services.directory.signing_keys(author.domain)
    except Exception:
        logger.exception("the keys of %s can't be read", author.domain)
        return decisions.SIGNING_FAILED
    try:
        if transaction.message.is_small:
            put_signatures(transaction, keys)
        else:
            await undisturbed(partial(put_signatures, transaction, keys))
    except SigningError as error:
        logger.error("%s: can't sign: %s", transaction.name, error)
        return decisions.SIGNING_FAILED
    transaction.signed_by = tuple(f"{key.selector}._domainkey.{key.domain}" for key in keys)
    return None


def _own_address(transaction: Transaction) -> Address | None:
    """The address that a message without an author is from: the one in MAIL FROM, which was checked, or for the null
    path the name that was logged in with. None when that is no address."""
    assert transaction.client.submitter is not None
    try:
        return transaction.reverse_path.address or parse_address(transaction.client.submitter.name)
    except AddressError:
        return None


def _from_text(header: Header) -> str:
    values = header.get(b"from")
    return (decode_text(unfold(values[0]), FROM_CHARACTERS) if values else "") or "none"


def put_signatures(transaction: Transaction, keys: tuple[SigningKey, ...]) -> None:
    """Write the header, under its signatures, into the file. Raises SigningError."""
    file, header, stray = transaction.message, transaction.header, transaction.stray
    if keys:
        body = RelaxedBodyHash()
        body.update(stray)
        for chunk in file.chunks(file.header.size_octets):
            body.update(chunk)
        header = header.behind(signature_fields(header, body.digest(), keys, int(transaction.at.timestamp())))
    file.replace_header(header, stray)
    transaction.set_header(header)
