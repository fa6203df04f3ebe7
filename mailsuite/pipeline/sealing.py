"""What is done to an evaluated message before it is filed: forged findings cut out, forwarded copies sealed (RFC 8617).

A seal lets the next host believe what we found, though forwarding broke SPF. Without a key, or when sealing fails, the
message goes on without: it is no worse off than from any other host.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from mailsuite.mail.header import drop_fields
from mailsuite.mailauth.arc_seal import seal
from mailsuite.mailauth.authentication_results import payload, strip
from mailsuite.mailauth.dkim import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, SigningKey
from mailsuite.pipeline.destinations import Destinations, address_of
from mailsuite.pipeline.evaluation import Evaluation
from mailsuite.pipeline.services import DirectoryView
from mailsuite.server.spool import SpoolFile, undisturbed

logger = logging.getLogger(__name__)


async def without_forged_fields(
    file: SpoolFile, length: int, evaluation: Evaluation, authserv_ids: Sequence[str]
) -> tuple[Evaluation, bytes]:
    """Cut the fields out of the file's header that only we may write: those that claim to be our findings
    (RFC 8601 §5), and Return-Path, which delivery puts in front (RFC 5321 §4.4); the report counts them. Returns the
    header block as it is then, too."""
    block, results = strip(file.head[:length], authserv_ids)
    block, return_paths = drop_fields(block, b"return-path")
    if not results and not return_paths:
        return evaluation, block
    if file.is_small:
        file.replace_head(length, block)
    else:
        await undisturbed(partial(file.replace_head, length, block))
    report = replace(evaluation.report, removed_results=results, removed_return_paths=return_paths)
    return replace(evaluation, report=report), block


async def seals(
    file: SpoolFile,
    block: bytes,
    evaluation: Evaluation,
    destinations: Destinations,
    directory: DirectoryView,
    at: datetime,
    name: str,
) -> dict[str, bytes]:
    """The ARC sets for what is forwarded, by the domain of the address that forwards."""
    forwards = {address_of(part).domain for part in destinations.forwards.values()}
    if not forwards or not evaluation.report.arc.cv:
        return {}
    body = RelaxedBodyHash()
    feed = partial(_feed, file, len(block), body)
    if file.is_small:
        feed()
    else:
        await undisturbed(feed)
    body_hash, made = body.digest(), {}
    for domain in forwards:
        if key := await _key(directory, domain):
            made[domain] = _seal(block, body_hash, evaluation, key, int(at.timestamp()), name)
    return made


def _feed(file: SpoolFile, start: int, body: RelaxedBodyHash) -> None:
    for chunk in file.chunks(start):
        body.update(chunk)


def _seal(block: bytes, body_hash: bytes, evaluation: Evaluation, key: SigningKey, timestamp: int, name: str) -> bytes:
    claims, arc = payload(evaluation.authserv_id, evaluation.results), evaluation.report.arc
    try:
        return seal(block, body_hash, claims, arc.cv, arc.instance + 1, key, timestamp)
    except SigningError as error:
        logger.warning("%s: goes on without a seal: %s", name, error)
        return b""


async def _key(directory: DirectoryView, domain: str) -> SigningKey | None:
    """The domain's RSA key: seals know no other kind."""
    try:
        return next((key for key in await directory.signing_keys(domain) if key.algorithm == "rsa"), None)
    except Exception:
        logger.exception("the keys of %s can't be read", domain)
        return None
