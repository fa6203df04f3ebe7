"""Whether the resolver validates DNSSEC, found out by asking: DANE is off with one that doesn't (RFC 7672 §2.1.1)."""

from dataclasses import dataclass

from mailsuite.resolver.answers import Resolver, Status

# The root is signed since 2010; the other name is kept broken for tests like this one.
SIGNED = (".", "NS")
BOGUS = ("dnssec-failed.org", "A")


@dataclass(frozen=True, slots=True)
class Validation:
    """`text` tells people, as a sentence's part, why the resolver does not serve for DANE; "" when it does."""

    is_good: bool
    text: str = ""


async def resolver_validates(resolver: Resolver) -> Validation:
    """Asks for a signed name, which must come with the AD bit from a resolver on this machine, and for a broken one,
    which must not come at all."""
    signed = await resolver.query(*SIGNED)
    if signed.status is Status.TEMPERROR:
        return Validation(False, "the resolver does not answer")
    if not signed.secure:
        return Validation(
            False,
            "the resolver does not validate DNSSEC, or is not on this machine, so that its word can't be trusted "
            "(install unbound and set MAILSUITE_RESOLVER=127.0.0.1)",
        )
    if (await resolver.query(*BOGUS)).status is not Status.TEMPERROR:
        return Validation(False, "the resolver lets a name with broken signatures pass")
    return Validation(True)
