"""Reports that come as attachments of somebody else's mail: whose they are, by the signature that they still bear.

An administrator who moves a domain forwards what came to its old report address. The mail around the report proves
nothing about its reporter; DKIM of the mail inside does, as long as nobody changed it (RFC 6376 §1.1).
"""

import asyncio
import time
from collections.abc import Callable

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth import dmarc
from mailsuite.mailauth.dkim import BodyHashes, HeaderFields, find_signatures, verify
from mailsuite.mailauth.report_file import CHUNK_OCTETS
from mailsuite.resolver.answers import Resolver

# Whoever forwards chooses whose name servers are asked: so long one mail takes with all that it forwards, and so long
# a run of the reader.
SECONDS_A_MAIL, SECONDS_A_RUN = 10.0, 30.0


class NoAnswer(Exception):
    """DNS does not say now whose a forwarded report is."""


class Signers:
    """Finds out whose forwarded reports are. `now` are seconds of 1970. For one run of the reader."""

    def __init__(
        self, make_resolver: Callable[[], Resolver], now: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make_resolver, self._now, self._clock = make_resolver, now, clock
        self._left = SECONDS_A_RUN
        self._left_for_mail = SECONDS_A_MAIL
        self._known: dict[bytes, str] = {}

    def begin_mail(self) -> None:
        """What follows is forwarded by another mail."""
        self._known = {}
        self._left_for_mail = SECONDS_A_MAIL

    def signed_by(self, message: bytes) -> str:
        """The domain of the message's author when its signature proves it, "" otherwise. Raises NoAnswer."""
        if message not in self._known:
            seconds, started = min(self._left, self._left_for_mail), self._clock()
            if seconds <= 0:
                raise NoAnswer
            try:
                self._known[message] = asyncio.run(_signed_by(message, self._make_resolver(), self._now, seconds))
            except TimeoutError:
                raise NoAnswer from None
            finally:
                took = self._clock() - started
                self._left, self._left_for_mail = self._left - took, self._left_for_mail - took
        return self._known[message]


def author_of(message: bytes) -> str:
    """The domain in From, "" where there is no telling."""
    return dmarc.author(Header.parse_message(message).get(b"from", [])).domain


async def _signed_by(message: bytes, resolver: Resolver, now: float, seconds: float) -> str:
    parsed = Header.parse_message(message)
    header = HeaderFields(parsed)
    author = dmarc.author(parsed.get(b"from", []))
    signatures = find_signatures(header, author.domain)
    hashes = BodyHashes(signatures)
    for start in range(parsed.size_octets, len(message), CHUNK_OCTETS):
        hashes.update(message[start : start + CHUNK_OCTETS])
    async with asyncio.timeout(seconds):
        outcomes = await verify(signatures, header, hashes, resolver, now)
        identifiers = [dmarc.Identifier("dkim", one.domain, one.result) for one in outcomes]
        outcome = await dmarc.evaluate(resolver, author=author, identifiers=identifiers)
    passed = {one.domain for one in outcomes if one.result == "pass"}
    # Where no policy asks for more, the very domain has to have signed.
    is_proved = outcome.result == "pass" or (outcome.result == "none" and author.domain in passed)
    if author.domain and is_proved:
        return author.domain
    if outcome.result == "temperror" or any(one.result == "temperror" for one in outcomes):
        raise NoAnswer
    return ""
