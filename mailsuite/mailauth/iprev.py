"""The client's reverse DNS (RFC 8601 §3): its names, and which of them leads back to it."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from mailsuite.mail.client_network import Address, client_ip
from mailsuite.resolver.answers import Resolver, Status

MAX_NAMES = 10
_PROVIDERS = re.compile(
    r"(?:^|[.\d-])(?:dyn|dynamic|dhcp|pool|ppp|pppoe|dsl|adsl|vdsl|xdsl|cable|dialup|dial|broadband|fttx|ftth|cust|customer"
    r"|client|clients|residential|res|wireless|mobile)(?:[.\d-]|$)"
)


@dataclass(frozen=True, slots=True)
class IprevOutcome:
    """`result` is pass, fail, temperror or permerror (RFC 8601 §2.7.3): permerror when the address has no name at all.
    `names` are what the address points to, at most MAX_NAMES; `confirmed` is the first that points back, or ""."""

    result: str
    names: tuple[str, ...] = ()
    confirmed: str = ""
    reason: str = ""


async def check(resolver: Resolver, ip: str) -> IprevOutcome:
    """What the reverse DNS of `ip` (as text) says; never raises."""
    address = client_ip(ip)
    if address is None:
        return IprevOutcome("permerror", reason=f"{ip!r} is no IP address")
    answer = await resolver.query(address.reverse_pointer, "PTR")
    if answer.status is Status.TEMPERROR:
        return IprevOutcome("temperror", reason=f"DNS gives no answer about the name of {address}")
    found = dict.fromkeys(name.lower().removesuffix(".") for name in answer.rdata if isinstance(name, str))
    names = tuple(found)[:MAX_NAMES]
    if not names:
        return IprevOutcome("permerror", reason=f"{address} has no name in DNS")
    has_failed = False
    for name in names:
        forward = await resolver.query(name, "A" if address.version == 4 else "AAAA")
        has_failed |= forward.status is Status.TEMPERROR
        if any(isinstance(one, str) and ip_address(one) == address for one in forward.rdata):
            return IprevOutcome("pass", names, name, f"{address} is {name}, which leads back to it")
    if has_failed:
        return IprevOutcome("temperror", names, reason=f"DNS gives no answer about a name of {address}")
    return IprevOutcome("fail", names, reason=f"{address} is called {names[0]}, which does not lead back to it")


def is_generic(name: str, address: Address) -> bool:
    """Whether the name is made from the address, or of words for lines that people dial in by."""
    host = name.lower()
    if _PROVIDERS.search(host):
        return True
    if isinstance(address, IPv6Address):
        groups = address.exploded.split(":")
        return sum(f"{int(group, 16):x}" in re.split(r"[.-]", host) for group in groups if int(group, 16)) >= 3
    octets = str(address).split(".")
    numbers = [str(int(number)) for number in re.findall(r"\d{1,3}", host)]
    in_a_row = ["".join(f"{int(octet):03}" for octet in octets), f"{int(address):08x}"]
    return all(octet in numbers for octet in octets) or any(text in host for text in in_a_row)
