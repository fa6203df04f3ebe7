"""Stages for a message from elsewhere: a verdict, forged findings cut out, seals on forwarded copies (RFC 8617).

A seal lets the next host believe what we found, though forwarding broke SPF. Without a key, or when sealing fails, the
message goes on without: it is no worse off than from any other host.
"""

import logging
from dataclasses import replace
from functools import partial

from mailsuite.mailauth.arc_seal import seal
from mailsuite.mailauth.authentication_results import claiming, payload
from mailsuite.mailauth.dkim import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, SigningKey
from mailsuite.pipeline.destinations import address_of
from mailsuite.pipeline.services import DirectoryView
from mailsuite.pipeline.transaction import Answer, Transaction
from mailsuite.server.threads import undisturbed
from mailsuite.writer.spool import SpoolFile

logger = logging.getLogger(__name__)


async def evaluate(transaction: Transaction) -> Answer:
    """Refuses or puts off what the verdict is against; else the verdict says in which folder each copy goes."""
    ongoing, transaction.ongoing = transaction.ongoing, None
    if ongoing is None:
        return None
    file, recipients, destinations = transaction.message, transaction.recipients, transaction.destinations
    transaction.evaluation = await ongoing.finish(file, recipients, destinations, transaction.name)
    return transaction.evaluation.refusal


async def forged_fields(transaction: Transaction) -> Answer:
    """Cuts the fields out of the header that only we may write: those that claim to be our findings (RFC 8601 §5), and
    Return-Path, which delivery puts in front (RFC 5321 §4.4); the report counts them."""
    evaluation, evaluator, file = transaction.evaluation, transaction.services.evaluator, transaction.message
    if evaluation is None or evaluator is None:
        return None
    results = claiming(transaction.header, evaluator.authserv_ids)
    return_paths = transaction.header.places(b"return-path")
    if not results and not return_paths:
        return None
    header = transaction.header.without([*results, *return_paths])
    if file.is_small:
        file.replace_header(header)
    else:
        await undisturbed(partial(file.replace_header, header))
    report = replace(evaluation.report, removed_results=len(results), removed_return_paths=len(return_paths))
    transaction.evaluation = replace(evaluation, report=report)
    transaction.set_header(header)
    return None


async def seal_forwarded(transaction: Transaction) -> Answer:
    """Makes the ARC sets for what is forwarded, by the domain of the address that forwards."""
    forwards = {address_of(part).domain for part in transaction.destinations.forwards.values()}
    evaluation, file = transaction.evaluation, transaction.message
    if evaluation is None or not forwards or not evaluation.report.arc.cv:
        return None
    body = RelaxedBodyHash()
    feed = partial(_feed, file, transaction.header.size_octets, body)
    if file.is_small:
        feed()
    else:
        await undisturbed(feed)
    body_hash, made = body.digest(), {}
    for domain in forwards:
        if key := await _key(transaction.services.directory, domain):
            made[domain] = _seal(transaction, body_hash, key)
    transaction.seals = made
    return None


def _feed(file: SpoolFile, start: int, body: RelaxedBodyHash) -> None:
    for chunk in file.chunks(start):
        body.update(chunk)


def _seal(transaction: Transaction, body_hash: bytes, key: SigningKey) -> bytes:
    evaluation, timestamp = transaction.evaluation, int(transaction.at.timestamp())
    assert evaluation is not None
    claims, arc = payload(evaluation.authserv_id, evaluation.results), evaluation.report.arc
    try:
        return seal(transaction.header, body_hash, claims, arc.cv, arc.instance + 1, key, timestamp)
    except SigningError as error:
        logger.warning("%s: goes on without a seal: %s", transaction.name, error)
        return b""


async def _key(directory: DirectoryView, domain: str) -> SigningKey | None:
    """The domain's RSA key: seals know no other kind."""
    try:
        return next((key for key in await directory.signing_keys(domain) if key.algorithm == "rsa"), None)
    except Exception:
        logger.exception("the keys of %s can't be read", domain)
        return None
