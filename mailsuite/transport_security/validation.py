"""Whether the resolver validates DNSSEC, found out by asking: DANE is off with one that doesn't (RFC 7672 §2.1.1)."""

import asyncio
from dataclasses import dataclass

from mailsuite.resolver.answers import Resolver, Status

# The root is signed since 2010; the other name is kept broken for tests like this one.
SIGNED = (".", "NS")
BOGUS = ("dnssec-failed.org", "A")
# How long an answer to that is gone by, and how long the lack of one.
GOOD_SECONDS, BAD_SECONDS = 3600.0, 60.0


@dataclass(frozen=True, slots=True)
class Validation:
    """`text` tells people, as a sentence's part, why the resolver does not serve for DANE; "" when it does. `is_known`
    is False where it could not be found out."""

    is_good: bool
    text: str = ""
    is_known: bool = True


async def resolver_validates(resolver: Resolver) -> Validation:
    """Asks for a signed name, which must come with the AD bit from a resolver on this machine, and for a broken one,
    which must not come at all."""
    signed = await resolver.query(*SIGNED)
    if signed.status is Status.TEMPERROR:
        return Validation(False, "the resolver does not answer", is_known=False)
    if not signed.secure:
        return Validation(
            False,
            "the resolver does not validate DNSSEC, or is not on this machine, so that its word can't be trusted "
            "(install unbound and set MAILSUITE_RESOLVER=127.0.0.1)",
        )
    if (await resolver.query(*BOGUS)).status is not Status.TEMPERROR:
        return Validation(False, "the resolver lets a name with broken signatures pass")
    return Validation(True)


class ValidationWatch:
    """The same for a service that runs on: asked when it matters, and again after a while."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._is_good, self._until = True, 0.0

    async def is_good(self) -> bool:
        """Whether what the resolver calls secure is to be believed. While it does not answer, what was found last
        holds: whoever can silence it must not be able to turn DANE off."""
        if asyncio.get_running_loop().time() >= self._until:
            found = await resolver_validates(self._resolver)
            self._is_good = found.is_good if found.is_known else self._is_good
            seconds = GOOD_SECONDS if found.is_good else BAD_SECONDS
            self._until = asyncio.get_running_loop().time() + seconds
        return self._is_good
