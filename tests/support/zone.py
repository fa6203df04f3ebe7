"""One zone, written once as zone-file texts, for a ZoneResolver and for a real DNS server."""

from collections.abc import Mapping, Sequence

import dns.rdata
import dns.rdataclass

from mailsuite.resolver.answers import Answer, Rdata, Status, ZoneResolver
from mailsuite.resolver.dns_resolver import rdata_value

# An Answer stands for itself, such as one with a TTL of its own.
Records = Mapping[tuple[str, str], Sequence[str] | str | Answer]


def zone_resolver(records: Records) -> ZoneResolver:
    """The zone of a DnsServer, "servfail" and "nxdomain" included, without a server."""
    zone = {key: _values(key[1], texts) for key, texts in records.items()}
    for name, target in [
        (name, texts[0].rstrip(".")) for (name, rdtype), texts in records.items() if rdtype == "CNAME"
    ]:
        zone |= {(name, rdtype): values for (owner, rdtype), values in zone.items() if owner == target}
    return ZoneResolver(zone)


def quoted(text: str) -> str:
    """The text as one TXT record, in strings of at most 255 octets."""
    escaped = [octet if octet not in '"\\' else f"\\{octet}" for octet in text]
    return " ".join(f'"{"".join(escaped[at : at + 255])}"' for at in range(0, max(len(escaped), 1), 255))


def _values(rdtype: str, texts: Sequence[str] | str | Answer) -> list[Rdata] | Answer:
    if isinstance(texts, Answer):
        return texts
    if isinstance(texts, str):
        return Answer(Status.NXDOMAIN if texts == "nxdomain" else Status.TEMPERROR, (), 5)
    return [rdata_value(dns.rdata.from_text("IN", rdtype, text)) for text in texts]
