"""Where mail for a domain goes: routes, MX records, addresses. Pure: DNS answers in, hosts in order or a failure out.

RFC 5321 §5.1 gives the rules, RFC 7505 the null MX. Hosts that must not be dialled (loopback, private, our own) are
left out unless a setting names their network: a stranger's DNS must not lead us into our own network. An
administrator's Route is trusted as written.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from mailsuite.resolver.answers import Answer, Mx, Status

Shuffle = Callable[[list["MailHost"]], None]

# An MX list may be any length; who does not answer at these does not want mail.
MAX_HOSTS = 10
MAX_ADDRESSES = 10


class Security(Enum):
    """How TLS is used with a host. The last two check the certificate."""

    OPPORTUNISTIC = "STARTTLS when offered"
    STARTTLS = "STARTTLS required"
    IMPLICIT = "TLS from the first octet"


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """A Route as the worker knows it; the password in clear."""

    pattern: str
    host: str
    port: int
    security: Security
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class MailHost:
    """A host that takes mail, by name or address; `preference` as in its MX record."""

    name: str
    preference: int = 0


@dataclass(frozen=True, slots=True)
class Unroutable:
    """Why there is no host to try: `status` is the enhanced code, 4yz for later; `reason` one word for the story."""

    status: str
    reason: str
    text: str

    @property
    def is_permanent(self) -> bool:
        return self.status.startswith("5")


def find_route(domain: str, routes: Iterable[RouteFacts]) -> RouteFacts | None:
    """Return the route for a domain: one for the very name, else for the longest `*.suffix`, else `*`."""
    best: RouteFacts | None = None
    for route in routes:
        pattern = route.pattern
        fits = pattern == domain or pattern == "*" or (pattern.startswith("*.") and domain.endswith(pattern[1:]))
        if fits and (best is None or _weight(pattern, domain) > _weight(best.pattern, domain)):
            best = route
    return best


def mail_hosts(domain: str, mx: Answer, own_names: Collection[str], shuffle: Shuffle) -> list[MailHost] | Unroutable:
    """Return the hosts for a domain in the order of trying, equal preferences in the order that `shuffle` makes.

    Without MX records the domain itself is the host. When we are among the hosts, those no better than us are left
    out, or mail would go in circles (RFC 5321 §5.1).
    """
    if mx.status is Status.TEMPERROR:
        return Unroutable("4.4.3", "dns-error", f"the DNS gave no answer about {domain}, trying again later")
    if mx.status is Status.NXDOMAIN:
        return Unroutable("5.1.2", "no-such-domain", f"the domain {domain} does not exist")
    records = [record for record in mx.rdata if isinstance(record, Mx)]
    if mx.status is Status.NODATA or not records:
        records = [Mx(0, domain)]
    named = [MailHost(record.exchange, record.preference) for record in records if record.exchange]
    if not named:
        return Unroutable("5.1.10", "null-mx", f"the domain {domain} says that it takes no mail")
    own = min((host.preference for host in named if host.name in own_names), default=None)
    better = [host for host in named if own is None or host.preference < own]
    if not better:
        return Unroutable(
            "5.4.6", "mail-loop", f"the DNS sends mail for {domain} back to this host, which does not host that domain"
        )
    shuffle(better)
    # The sort is stable: equals stay shuffled.
    return sorted(better, key=lambda host: host.preference)[:MAX_HOSTS]


def literal_address(domain: str) -> str | None:
    """Return the address in an address literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`, else None."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    text = domain[1:-1]
    try:
        return str(ip_address(text[5:] if text[:5].lower() == "ipv6:" else text))
    except ValueError:
        return None


def is_address(host: str) -> bool:
    """Whether a host is named by its address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def host_addresses(a: Answer, aaaa: Answer) -> list[str]:
    """Return a host's addresses, IPv6 and IPv4 in turn, so that one broken family costs one attempt."""
    ipv6 = [str(address) for address in aaaa.rdata]
    ipv4 = [str(address) for address in a.rdata]
    mixed: list[str] = []
    for index in range(max(len(ipv6), len(ipv4))):
        mixed += ipv6[index : index + 1] + ipv4[index : index + 1]
    return mixed[:MAX_ADDRESSES]


def no_address(
    domain: str, answers: Iterable[Answer], forbidden: Sequence[str], left_out: Sequence[str] = ()
) -> Unroutable:
    """Return why none of the hosts of a domain can be dialled, from the answers about all of them. `left_out` are
    addresses of a family that mail does not go out by: a setting of ours bounces nobody's mail."""
    if any(answer.status is Status.TEMPERROR for answer in answers):
        return Unroutable("4.4.3", "dns-error", f"the DNS gave no address of a mail host for {domain}, trying later")
    if left_out:
        where = ", ".join(left_out[:3])
        return Unroutable(
            "4.4.4",
            "family-not-used",
            f"the mail hosts of {domain} are at {where}, which MAILSUITE_SEND_FAMILIES leaves out",
        )
    if forbidden:
        where = ", ".join(forbidden[:3])
        return Unroutable("5.4.4", "private-host", f"the mail hosts of {domain} are at {where}, where no mail is sent")
    return Unroutable("5.4.4", "no-address", f"no mail host of {domain} has an address")


def _weight(pattern: str, domain: str) -> int:
    return len(domain) + 1 if pattern == domain else len(pattern)
