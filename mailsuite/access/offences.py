"""What counts against a network, how much, and when it is enough. Pure values.

Points are counted for each network (an IPv4 address, an IPv6 /64) and reason within a window. An IPv6 /48, which one
customer may hold, is counted as well, since it has 65,536 of those: it takes WIDER times as many. Each ban of the same
network is longer than the one before, until it has behaved for FORGIVEN_AFTER.
"""

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network

from mailsuite.mail.client_network import Network, Reach, holder_network

WINDOW = timedelta(hours=1)
WIDER = 4
FORGIVEN_AFTER = timedelta(days=30)
LONGEST = timedelta(days=7)

_OWN = (IPv4Network("127.0.0.1/32"), IPv6Network("::/64"))


@dataclass(frozen=True, slots=True)
class Measure:
    """`enough` points within `window` make a ban of `first`; each further one lasts `growth` times as long."""

    enough: int
    first: timedelta
    growth: int = 4
    window: timedelta = WINDOW


MEASURES = {
    # A day, for those who guess slowly: people who forgot a password don't try forty different ones from a network that
    # nobody signs in from.
    "password-guessing": Measure(40, timedelta(minutes=15), window=timedelta(days=1)),
    # A host that forwards an old list knocks at some dozens of names that are gone; a dictionary has hundreds.
    "recipient-probing": Measure(100, timedelta(minutes=30)),
    "protocol-abuse": Measure(40, timedelta(minutes=15)),
}
# By the reason word of a refusal or of a session's end, at any door: what it counts as, and how much. What a mail
# program with a wrong setting does (TLS on a plain port, the reverse) counts little: it tries again every few minutes.
# Content that is refused (a bare line ending, a NUL) counts nothing: old devices send it, day after day.
REFUSALS = {
    "unknown-recipient": ("recipient-probing", 1),
    "rewritten-sender-invalid": ("recipient-probing", 1),
    "relaying-denied": ("protocol-abuse", 4),
    "too-many-errors": ("protocol-abuse", 4),
    "tls-handshake": ("protocol-abuse", 1),
    "foreign-protocol": ("protocol-abuse", 1),
}


def offence_of(reason: str) -> tuple[str, int] | None:
    """What a refusal or a session's end counts as, and how many points."""
    return REFUSALS.get(reason)


def counted_with(network: Network) -> tuple[Network, ...]:
    """The network itself, and the wider one that counts with it."""
    if network.version == 4:
        return (network,)
    return network, holder_network(network)


def enough(network: Network, reason: str) -> int:
    """How many points make a ban."""
    is_wide = network.version == 6 and network.prefixlen <= Reach.HOLDER.prefix(6)
    return MEASURES[reason].enough * (WIDER if is_wide else 1)


def is_spared(network: Network, reason: str) -> bool:
    """Whether nothing of that kind bans the network. 127.0.0.1 and ::1 are the host's own programs, webmail among
    them: their failed logins slow down, and are never locked out; no loopback address probes or abuses."""
    if network in _OWN:
        return True
    return network.network_address.is_loopback and reason != "password-guessing"


def duration(reason: str, times: int) -> timedelta:
    """How long the ban lasts that is the `times`th."""
    measure = MEASURES[reason]
    longer: int = measure.growth ** min(times - 1, 10)
    return min(measure.first * longer, LONGEST)
