"""What the signatures of a message are worth: DKIM and ARC, whose bodies are hashed once for both."""

import asyncio
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from mailsuite.authcheck.content import Content
from mailsuite.authcheck.questions import Questions
from mailsuite.authcheck.report import ArcCheck, ArcSealer, DkimCheck
from mailsuite.mailauth import arc, authentication_results
from mailsuite.mailauth.arc import ArcOutcome
from mailsuite.mailauth.dkim import BodyHashes, DkimOutcome, HeaderFields, find_signatures, key_names, verify
from mailsuite.server.threads import undisturbed


@dataclass(frozen=True, slots=True)
class SignaturesFound:
    dkim: tuple[DkimCheck, ...] = ()
    arc: ArcCheck = ArcCheck("none")


class SignatureChecker:
    """Verifies the signatures of messages, as many at a time as there are cores. `trusted_sealers` are the domains
    whose ARC seals the site believes."""

    def __init__(self, trusted_sealers: Collection[str] = ()) -> None:
        self._trusted_sealers = frozenset(domain.lower() for domain in trusted_sealers)
        self._hashing = asyncio.Semaphore(os.cpu_count() or 1)

    async def check(self, content: Content, author_domain: str, questions: Questions, now: float) -> SignaturesFound:
        """What the signatures of the message say; keys are asked for all at once, while the body is hashed."""
        header = HeaderFields(content.header)
        signatures = find_signatures(header, author_domain)
        sets = arc.find_sets(header)
        if not signatures and not sets.instance and not sets.problem:
            return SignaturesFound()
        questions.foresee((name, "TXT") for name in (*key_names(signatures), *sets.key_names))
        hashes = BodyHashes([*signatures, *sets.body_users])
        await self._hash(content, hashes)
        # Hashing and verifying are the longest work on a message: others have their turn between.
        await asyncio.sleep(0)
        outcomes = await verify(signatures, header, hashes, questions, now)
        chain = await arc.validate(sets, header, hashes, questions, now)
        return SignaturesFound(tuple(_dkim_check(outcome) for outcome in outcomes), self._arc_check(chain))

    async def _hash(self, content: Content, hashes: BodyHashes) -> None:
        if content.is_small:
            _feed(content, hashes)
            return
        async with self._hashing:
            await undisturbed(partial(_feed, content, hashes))

    def _arc_check(self, outcome: ArcOutcome) -> ArcCheck:
        sealers = tuple(ArcSealer(one.instance, one.domain, one.selector) for one in outcome.sealers)
        claims: tuple[str, ...] = ()
        if outcome.result == "pass" and (parsed := authentication_results.parse(outcome.claims)):
            claims = tuple(f"{one.method}={one.result}" for one in parsed.results)
        newest = sealers[-1].domain if sealers and outcome.result == "pass" else ""
        trusted_by = newest if newest in self._trusted_sealers else ""
        return ArcCheck(outcome.result, outcome.reason, sealers, trusted_by, claims, outcome.cv, outcome.instance)


def _feed(content: Content, hashes: BodyHashes) -> None:
    for chunk in content.body():
        hashes.update(chunk)


def _dkim_check(outcome: DkimOutcome) -> DkimCheck:
    return DkimCheck(
        outcome.result,
        outcome.reason,
        outcome.domain,
        outcome.selector,
        outcome.identity,
        outcome.algorithm,
        outcome.key_bits,
        outcome.b_start,
        outcome.is_testing,
    )
