"""DNS lists of addresses (RFC 5782): block lists and those that vouch."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, ip_address, ip_network

from mailsuite.mail.client_network import Address, client_ip
from mailsuite.resolver.answers import Resolver, Status

LISTED_IN = ip_network("127.0.0.0/8")
# What operators answer instead of listing: asked through a public resolver, asked too often, mistyped zone.
ERRORS_IN = ip_network("127.255.255.0/24")
# dnswl.org's way to say that it was asked too often; no list of trusted hosts means anything else by it.
ALLOW_LIST_ERROR = "127.0.0.255"


class ListStatus(Enum):
    LISTED = "listed"
    CLEAR = "clear"
    ERROR = "error"
    TEMPERROR = "temperror"


@dataclass(frozen=True, slots=True)
class ListOutcome:
    """`codes` are the list's answers when it is LISTED; ERROR says in `reason` that the list itself is out of order and
    must not be believed or asked any more; TEMPERROR is DNS's trouble and says nothing."""

    status: ListStatus
    codes: tuple[str, ...] = ()
    reason: str = ""


def question(address: Address, zone: str) -> str:
    """Return the name to ask for: octets or nibbles in reverse, and the zone (§2.1, §2.4)."""
    labels = address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    return f"{labels}.{zone}"


async def look_up(resolver: Resolver, ip: str, zone: str, *, vouches: bool = False) -> ListOutcome:
    """What the list says of `ip` (as text); never raises. `vouches` is for lists of the good."""
    address = client_ip(ip)
    if address is None:
        return ListOutcome(ListStatus.TEMPERROR, reason=f"{ip!r} is no IP address")
    return await _ask(resolver, address, zone, vouches=vouches)


async def self_test(resolver: Resolver, zone: str, *, ipv4: bool, ipv6: bool, vouches: bool = False) -> ListOutcome:
    """CLEAR when the list is in order: its test entries are listed, and what must never be is not (§5)."""
    families = [("127.0.0.2", "127.0.0.1")] if ipv4 else []
    families += [("::ffff:7f00:2", "::ffff:7f00:1")] if ipv6 else []
    for listed, never in families:
        found = await _ask(resolver, ip_address(listed), zone, vouches=vouches)
        if found.status is ListStatus.CLEAR:
            return ListOutcome(ListStatus.ERROR, reason=f"its test entry {listed} is not listed: the list may be gone")
        if found.status is not ListStatus.LISTED:
            return found
        found = await _ask(resolver, ip_address(never), zone, vouches=vouches)
        if found.status is ListStatus.LISTED:
            return ListOutcome(
                ListStatus.ERROR, reason=f"it lists {never}, which must never be: it may list everything"
            )
        if found.status is not ListStatus.CLEAR:
            return found
    return ListOutcome(ListStatus.CLEAR)


async def _ask(resolver: Resolver, address: Address, zone: str, *, vouches: bool) -> ListOutcome:
    answer = await resolver.query(question(address, zone), "A")
    if answer.status is Status.TEMPERROR:
        return ListOutcome(ListStatus.TEMPERROR, reason="DNS gives no answer")
    codes = tuple(sorted(code for code in answer.rdata if isinstance(code, str)))
    for code in codes:
        if IPv4Address(code) not in LISTED_IN:
            return ListOutcome(
                ListStatus.ERROR, reason=f"it answers {code}, which no list does: its domain may be lost"
            )
        if IPv4Address(code) in ERRORS_IN or (vouches and code == ALLOW_LIST_ERROR):
            text = f"it answers {code}: it refuses to be asked from here (public resolver, too many questions, no key)"
            return ListOutcome(ListStatus.ERROR, reason=text)
    return ListOutcome(ListStatus.LISTED if codes else ListStatus.CLEAR, codes)
