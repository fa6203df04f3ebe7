"""Reports that come as attachments of somebody else's mail: whose they are, by the signature that they still bear.

An administrator who moves a domain forwards what came to its old report address. The mail around the report proves
nothing about its reporter; DKIM of the mail inside does, as long as nobody changed it (RFC 6376 §1.1).
"""

import asyncio
from collections.abc import Callable

from mailsuite.mail.header import collect_fields, header_end
from mailsuite.mailauth import dmarc
from mailsuite.mailauth.dkim import BodyHashes, HeaderFields, find_signatures, verify
from mailsuite.mailauth.report_file import CHUNK_OCTETS
from mailsuite.resolver.answers import Resolver

SECONDS = 30.0


def signed_by(message: bytes, resolver: Callable[[], Resolver], now: float) -> str:
    """The domain of the message's author when its signature proves it, "" otherwise. `now` are seconds of 1970. Raises
    OSError when DNS took longer than SECONDS, so that it is asked again."""
    try:
        return asyncio.run(_signed_by(message, resolver(), now))
    except TimeoutError:
        raise OSError("DNS took too long to answer about the signature of a forwarded report") from None


def author_of(message: bytes) -> str:
    """The domain in From, "" where there is no telling."""
    end = header_end(message, 0, len(message))
    return dmarc.author(collect_fields(message[:end]).get(b"from", [])).domain


async def _signed_by(message: bytes, resolver: Resolver, now: float) -> str:
    end = header_end(message, 0, len(message))
    header = HeaderFields(message[:end])
    author = dmarc.author(collect_fields(message[:end]).get(b"from", []))
    signatures = find_signatures(header, author.domain)
    hashes = BodyHashes(signatures)
    for start in range(end, len(message), CHUNK_OCTETS):
        hashes.update(message[start : start + CHUNK_OCTETS])
    async with asyncio.timeout(SECONDS):
        outcomes = await verify(signatures, header, hashes, resolver, now)
        identifiers = [dmarc.Identifier("dkim", one.domain, one.result) for one in outcomes]
        outcome = await dmarc.evaluate(resolver, author=author, identifiers=identifiers)
    passed = {one.domain for one in outcomes if one.result == "pass"}
    # Where no policy asks for more, the very domain has to have signed.
    is_proved = outcome.result == "pass" or (outcome.result == "none" and author.domain in passed)
    return author.domain if author.domain and is_proved else ""
