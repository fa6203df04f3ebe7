"""Which addresses strangers' DNS may lead us to: loopback, private and other special networks are none of them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def is_forbidden(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether nothing may be sent there that a stranger's DNS has asked for: loopback, private and other special
    networks, except for those `allowed`."""
    ip = _address(address)
    return not is_named(address, allowed) and (not ip.is_global or ip.is_multicast or _embeds_forbidden(ip))


def is_named(address: str, networks: Sequence[Network]) -> bool:
    """Return whether the address is in one of the networks."""
    ip = _address(address)
    return any(ip.version == network.version and ip in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address:
    ip = ip_address(text)
    return ip.ipv4_mapped if isinstance(ip, IPv6Address) and ip.ipv4_mapped else ip


def _embeds_forbidden(ip: IPv4Address | IPv6Address) -> bool:
    """6to4 and NAT64 (RFC 6052 §2.1) lead to the IPv4 address that they hold."""
    if isinstance(ip, IPv4Address):
        return False
    if ip.sixtofour:
        return not ip.sixtofour.is_global
    if ip in IPv6Network("64:ff9b::/96"):
        return not IPv4Address(int(ip) & 0xFFFFFFFF).is_global
    return False
