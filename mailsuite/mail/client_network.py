"""Which network is one client. One rule for all that is counted by where a client comes from.

An IPv4 address is one client, and an IPv6 /64, which is the least that anybody is given (RFC 6177 §2). Around each lies
a wider network that one holder may have whole: an IPv4 /24, an IPv6 /48.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

CLIENT_PREFIX = {4: 32, 6: 64}
WIDER_PREFIX = {4: 24, 6: 48}


def client_ip(text: str) -> Address | None:
    """The address in a socket's words, without a zone, and an IPv4 one that came over IPv6 as what it is. None for
    what is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_network(text: str) -> Network | None:
    """The network that counts as one client; None for what is no address."""
    address = client_ip(text)
    return None if address is None else ip_network((address, CLIENT_PREFIX[address.version]), strict=False)


def wider_network(network: Network) -> Network:
    """The network around a client's."""
    return network.supernet(new_prefix=WIDER_PREFIX[network.version])


@lru_cache(maxsize=4096)
def around(text: str) -> Network | None:
    """The network around the client of that address; None for what is no address."""
    network = client_network(text)
    return None if network is None else wider_network(network)
