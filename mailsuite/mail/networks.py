"""Which addresses strangers' DNS may lead us to: loopback, private and other special networks are none of them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Network

from mailsuite.mail.client_network import Address, Network, client_ip

# What holds an IPv4 address for a translator on the way (RFC 6052 §2.1)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_forbidden(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether nothing may be sent there that a stranger's DNS has asked for: loopback, private and other special
    networks, except for those `allowed`, and what is no address."""
    ip = client_ip(address)
    if ip is None:
        return True
    return not is_named(address, allowed) and (not ip.is_global or ip.is_multicast or _embeds_forbidden(ip))


def is_named(address: str, networks: Sequence[Network]) -> bool:
    """Return whether the address is in one of the networks."""
    ip = client_ip(address)
    return ip is not None and any(ip in network for network in networks)


def _embeds_forbidden(ip: Address) -> bool:
    """6to4 and NAT64 lead to the IPv4 address that they hold."""
    if isinstance(ip, IPv4Address):
        return False
    if ip.sixtofour:
        return not ip.sixtofour.is_global
    return ip in _NAT64 and not IPv4Address(int(ip) & 0xFFFFFFFF).is_global
