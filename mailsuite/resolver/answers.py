"""What the DNS answers, as plain values, and the protocol behind which the resolver stands.

No exception but cancellation ever comes out of a resolver: what can't be known now is TEMPERROR, a name that can't
exist is NXDOMAIN. NXDOMAIN and NODATA stay distinct, since SPF and DMARC tell them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

# Of a record's text, what people are shown.
MAX_VALUE_CHARACTERS = 255


class Status(Enum):
    OK = "ok"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    TEMPERROR = "temperror"


@dataclass(frozen=True, slots=True)
class Mx:
    """`exchange` is lower case without its last dot; "" is the null MX (RFC 7505 §3)."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    usage: int
    selector: int
    matching_type: int
    data: bytes


# A and AAAA: the address as text. TXT: the strings of one record, joined. Names: lower case, no last dot.
Rdata: TypeAlias = str | bytes | Mx | Tlsa


@dataclass(frozen=True, slots=True)
class Answer:
    """`rdata` is empty unless `status` is OK; `ttl` is in seconds; `secure` says that a trusted validating resolver
    vouches for it (the AD bit, RFC 4035 §3.2.3)."""

    status: Status
    rdata: tuple[Rdata, ...] = ()
    ttl: int = 0
    secure: bool = False


class Resolver(Protocol):
    async def query(self, name: str, rdtype: str) -> Answer:
        """The answer for `name` (with or without its last dot) and a type such as `MX`."""
        ...


def as_text(value: Rdata) -> str:
    """A record's value as short printable text."""
    match value:
        case Mx():
            text = f"{value.preference} {value.exchange}."
        case Tlsa():
            text = f"{value.usage} {value.selector} {value.matching_type} {value.data.hex()}"
        case bytes():
            text = value[: 2 * MAX_VALUE_CHARACTERS].decode("utf-8", "replace")
        case _:
            text = value
    if not text.isprintable():
        text = "".join(octet if octet.isprintable() else "\N{REPLACEMENT CHARACTER}" for octet in text)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


class ZoneResolver:
    """A resolver over a dict, for tests: `{("example.org", "MX"): [Mx(10, "mx.example.org")]}`.

    A value may be an Answer. A name that has records of another type is NODATA, any other NXDOMAIN. `asked` gathers
    the questions in their order.
    """

    def __init__(self, zone: Mapping[tuple[str, str], Sequence[Rdata] | Answer]) -> None:
        self._zone = dict(zone)
        self.asked: list[tuple[str, str]] = []

    async def query(self, name: str, rdtype: str) -> Answer:
        """What the zone says of the name (Resolver)."""
        name = name.rstrip(".").lower()
        self.asked.append((name, rdtype))
        found = self._zone.get((name, rdtype))
        if isinstance(found, Answer):
            return found
        if found:
            return Answer(Status.OK, tuple(found), 300)
        known = any(owner == name or owner.endswith(f".{name}") for owner, _ in self._zone)
        return Answer(Status.NODATA if known else Status.NXDOMAIN, (), 300)
