"""Under which names the web service answers: a Host that is none of ours is refused.

Links, redirects and the domain that autoconfig speaks for come from the Host field, which any client may write.
"""

from ipaddress import ip_address

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from mailsuite.directory import lookup

# What clients and other hosts put in front of a domain to find its settings (RFC 8461 §3.3 for the third).
SERVICE_LABELS = ("autoconfig", "autodiscover", "mta-sts", "mail")


def is_ours(host: str) -> bool:
    """Whether a Host value, with or without a port, names this host, loopback or a domain that is hosted here."""
    name = name_of(host)
    if not name:
        return False
    # Names that somebody put there beside "*", such as Django's tests do.
    if validate_host(name, [pattern for pattern in settings.ALLOWED_HOSTS if pattern != "*"]):
        return True
    return name in _own_names() or is_loopback(name) or name in _own_subdomains() or hosted_domain_of(name) != ""


def name_of(host: str) -> str:
    """The name or address in a Host value, in lower case; "" when it is malformed."""
    name: str = split_domain_port(host)[0]
    return name.rstrip(".")


def is_loopback(name: str) -> bool:
    """Whether a name or an address stands for this machine as seen from itself."""
    if name == "localhost":
        return True
    try:
        return ip_address(name.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def hosted_domain_of(host: str) -> str:
    """The hosted domain that a Host value belongs to: the domain itself or a service name in it; "" for none."""
    name = name_of(host)
    label, _, rest = name.partition(".")
    hosted = lookup.hosted_names()
    if name in hosted:
        return name
    return rest if label in SERVICE_LABELS and rest in hosted else ""


def _own_names() -> frozenset[str]:
    """The host's name, and the addresses that listeners are bound to."""
    addresses = {host for name in ("HTTP", "HTTPS") for host, _ in settings.MAILSUITE.listeners[name]}
    return frozenset({settings.MAILSUITE.hostname} | {f"[{one}]" if ":" in one else one for one in addresses})


def _own_subdomains() -> frozenset[str]:
    """Where clients look that only know the name in the MX record: Thunderbird asks autoconfig. of its parent."""
    labels = settings.MAILSUITE.hostname.split(".")
    parents = [".".join(labels[start:]) for start in range(max(len(labels) - 1, 0))]
    return frozenset(f"{label}.{parent}" for label in ("autoconfig", "autodiscover") for parent in parents)
