"""Which network is one client, and which networks lie around it: the one rule for all that is counted, remembered or
compared by where a client comes from.

| for | IPv4 | IPv6 | why |
| --- | --- | --- | --- |
| CLIENT | /32 | /64 | the least that anybody is given (RFC 6177 §2) |
| NEIGHBOURHOOD | /24 | /64 | hosts that send each other's mail: a provider tries again from another one of it |
| HOLDER | /24 | /48 | what one holder may have whole: a crowd, or one household's telephones |
| REGION | /16 | /32 | a provider's customers, among whom a telephone's address changes |
"""

from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Clients whose address and network are known without looking again; strangers choose them.
REMEMBERED = 4096


class Reach(Enum):
    """How much around an address counts with it: the lengths of the IPv4 and the IPv6 prefix."""

    CLIENT = 32, 64
    NEIGHBOURHOOD = 24, 64
    HOLDER = 24, 48
    REGION = 16, 32

    def prefix(self, version: int) -> int:
        """Return the prefix's length for IP version 4 or 6."""
        return self.value[version == 6]


@lru_cache(maxsize=REMEMBERED)
def client_ip(text: str) -> Address | None:
    """Return the address in a socket's words, without a zone, and an IPv4 one that came over IPv6 as what it is. None
    for what is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=REMEMBERED)
def network_around(text: str, reach: Reach) -> Network | None:
    """Return the network of that reach in which the client's address lies; None for what is no address."""
    address = client_ip(text)
    return None if address is None else ip_network((address, reach.prefix(address.version)), strict=False)


@lru_cache(maxsize=REMEMBERED)
def holder_key(text: str) -> str:
    """Return the holder's network around the client's address in words, "" for none: what turns are taken by, several
    times for each message. To hash a network takes many times as long as to hash a text."""
    return str(network_around(text, Reach.HOLDER) or "")


def client_network(text: str) -> Network | None:
    """Return the network that counts as one client; None for what is no address."""
    return network_around(text, Reach.CLIENT)


def holder_network(network: Network) -> Network:
    """Return the network around a client's that one holder may have whole."""
    return network.supernet(new_prefix=Reach.HOLDER.prefix(network.version))
