"""What screening tells, and is told, as plain values."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from mailsuite.mail.reply import Reply
from mailsuite.verdict.facts import ListHit

SPARED = frozenset({"127.0.0.1", "::1"})
NETWORK_PREFIX = {4: 24, 6: 64}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which sum of weights on a message is junk, and refused."""

    junk: float = 1.0
    reject: float = 2.0


@dataclass(frozen=True, slots=True)
class ClientSigns:
    """What HELO and reverse DNS say: `hits` are small weights beside the lists' (together they never make junk alone),
    `doubts` the same as words for greylisting, `refusal` the one thing that is refused by itself: a stranger who calls
    itself by our name."""

    hits: tuple[ListHit, ...] = ()
    doubts: tuple[str, ...] = ()
    refusal: Reply | None = None


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """Who sends. `reverse_path` is MAIL FROM's address, "" for the null one; `authors` are the From addresses; the two
    flags say whether their domains stand behind them: rules that allow ask for that. `client_name` is the confirmed
    reverse name of the client, or ""; `message_id` the message's, or ""."""

    client_address: str
    reverse_path: str = ""
    authors: tuple[str, ...] = ()
    is_reverse_path_authentic: bool = False
    is_author_authentic: bool = False
    client_name: str = ""
    message_id: str = ""

    @property
    def author(self) -> str:
        """The author when there is exactly one, or ""."""
        return self.authors[0] if len(self.authors) == 1 else ""


@dataclass(frozen=True, slots=True)
class Deferral:
    """`reason` is greylisted or first-time-sender."""

    reason: str
    text: str
    reply: Reply


@lru_cache(maxsize=1000)
def client_ip(text: str) -> IPv4Address | IPv6Address | None:
    """The client's address, an IPv4-mapped one as IPv4; None for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def client_network(address: IPv4Address | IPv6Address) -> IPv4Network | IPv6Network:
    """The neighbourhood that shares one fate: a provider sends again from another host of it."""
    return ip_network((address, NETWORK_PREFIX[address.version]), strict=False)
