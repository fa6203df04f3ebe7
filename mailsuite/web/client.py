"""Who is at the other end of a web request, seen through the proxies that MAILSUITE_TRUSTED_PROXIES names."""

from collections.abc import Sequence

from django.conf import settings
from django.http import HttpRequest

from mailsuite.mail.client_network import Network, client_ip
from mailsuite.mail.networks import is_named

# No site has more proxies one behind the other; what stands before them is anybody's to write.
MAX_HOPS = 20


def client_address(request: HttpRequest) -> str:
    """The client's IP address; "" when the server did not say one."""
    peer, forwarded_for = str(request.META.get("REMOTE_ADDR", "")), request.META.get("HTTP_X_FORWARDED_FOR", "")
    return original_address(peer, forwarded_for, settings.MAILSUITE.trusted_proxies)


def original_address(address: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Where a request came from that `address` brought, by the values of X-Forwarded-For that trusted proxies wrote."""
    hops = [hop.strip() for hop in forwarded_for.rsplit(",", MAX_HOPS)[-MAX_HOPS:] if hop.strip()]
    # From the right: each trusted proxy vouches for the one it wrote down, nobody for what was there before.
    while hops and client_ip(hops[-1]) and is_named(address, trusted):
        address = hops.pop()
    return address


def is_trusted_proxy(address: str) -> bool:
    """Whether the address is one of MAILSUITE_TRUSTED_PROXIES."""
    return is_named(address, settings.MAILSUITE.trusted_proxies)
