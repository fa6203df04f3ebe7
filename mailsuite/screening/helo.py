"""What a client's greeting and reverse DNS give away. Small weights: all of them together make no junk by themselves,
since many a small host is set up badly; what is refused is a stranger who greets us by our own name."""

from collections.abc import Collection
from dataclasses import dataclass

from mailsuite.mail.client_network import Address, client_ip
from mailsuite.mail.reply import Reply
from mailsuite.mailauth.iprev import IprevOutcome, is_generic
from mailsuite.screening.values import SPARED, ClientSigns
from mailsuite.verdict.facts import ListHit

HELO_IS_US = Reply(550, "7.1", "You greet this host by its own name (helo-forged)")
# Doubt: weight and text.
SIGNS = {
    "no-reverse-dns": (0.3, "its address has no name in DNS"),
    "reverse-dns-unconfirmed": (0.2, "the name of its address does not lead back to it"),
    "reverse-dns-generic": (0.3, "its name looks like one that a provider gives to every address"),
    "helo-literal": (0.2, "it greets with an IP address"),
    "helo-not-qualified": (0.2, "it greets with a name that is no full domain name"),
    "helo-unknown": (0.2, "it greets with a name that DNS does not know"),
    "helo-hosted": (0.3, "it greets with a domain that is hosted here"),
}


@dataclass(frozen=True, slots=True)
class Us:
    """Our own host name and addresses, and the domains hosted here."""

    hostname: str
    addresses: frozenset[str] = frozenset()
    domains: Collection[str] = ()


def client_signs(client_address: str, helo: str, iprev: IprevOutcome, *, helo_exists: bool, us: Us) -> ClientSigns:
    """What speaks against the client. `helo_exists` is whether DNS knows the HELO name, or gave no answer about it."""
    address = client_ip(client_address)
    if address is None or str(address) in SPARED:
        return ClientSigns()
    helo = helo.lower().removesuffix(".")
    literal = client_ip(helo.strip("[]").removeprefix("ipv6:"))
    if address.is_global and (helo == us.hostname or (literal and str(literal) in us.addresses)):
        return ClientSigns(refusal=HELO_IS_US)
    doubts = [*_reverse_dns_doubts(address, iprev)]
    if literal:
        doubts.append("helo-literal")
    elif "." not in helo:
        doubts.append("helo-not-qualified")
    elif helo in us.domains and not f".{iprev.confirmed}".endswith(f".{helo}"):
        doubts.append("helo-hosted")
    elif not helo_exists:
        doubts.append("helo-unknown")
    return ClientSigns(tuple(ListHit(doubt, *SIGNS[doubt]) for doubt in doubts), tuple(doubts))


def _reverse_dns_doubts(address: Address, iprev: IprevOutcome) -> list[str]:
    if iprev.result == "permerror":
        return ["no-reverse-dns"]
    if iprev.result == "fail":
        return ["reverse-dns-unconfirmed"]
    if iprev.result == "pass" and is_generic(iprev.confirmed, address):
        return ["reverse-dns-generic"]
    return []
