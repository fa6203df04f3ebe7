"""DANE for SMTP (RFC 7672, with RFC 6698 and RFC 7671): TLSA records looked up securely, and certificates held
against them.

What counts is what DNSSEC vouches for: `Answer.secure` says so only where a validating resolver is trusted. Chains are
DER certificates as the host sent them, its own first.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from mailsuite.mailauth.certificate_chain import issued_by, names_fit
from mailsuite.resolver.answers import Answer, Resolver, Status, Tlsa

TA, EE = 2, 3
FULL, SHA256, SHA512 = 0, 1, 2
CERTIFICATE, SPKI = 0, 1
_DIGEST_OCTETS = {SHA256: 32, SHA512: 64}
# More certificates than any chain has; each costs a signature check.
MAX_CHAIN = 10
MAX_RECORDS = 50


class State(Enum):
    """What TLSA records mean for a session (RFC 7672 §2.2, §3.1.3)."""

    NONE = "no DANE here"
    USABLE = "TLS with a certificate that matches"
    UNUSABLE = "TLS, whatever the certificate"
    FAILED = "no delivery to this host for now"


@dataclass(frozen=True, slots=True)
class Dane:
    """What DNS says about a mail host. `records` are the usable ones; `names` those that a certificate under a trust
    anchor may have (§3.2.3); `reason` tells in plain words how the state came about."""

    state: State
    reason: str
    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """`record` is the one that matched, None when none did; `reason` tells why."""

    record: Tlsa | None
    reason: str


def record_name(host: str, port: int = 25) -> str:
    return f"_{port}._tcp.{host}"


async def look_up(resolver: Resolver, domain: str, host: str, port: int = 25) -> Dane:
    """What holds at a mail host of a domain (§2.2): the MX records, the host's addresses and its TLSA records must all
    be secure. For a domain without MX records `host` is the domain."""
    mx = await resolver.query(domain, "MX")
    if mx.status is Status.TEMPERROR:
        return Dane(State.FAILED, f"the DNS gave no sound answer about the MX records of {domain}")
    if not mx.secure:
        return Dane(State.NONE, f"the MX records of {domain} are not signed with DNSSEC")
    alias = await _secure_alias(resolver, host)
    if alias:
        found = await _at(resolver, alias, port)
        if found.state is not State.NONE:
            return replace(found, names=tuple(dict.fromkeys((alias, host, domain))))
    found = await _at(resolver, host, port, vouched=bool(alias))
    return replace(found, names=tuple(dict.fromkeys((host, domain))))


def usable(records: Sequence[Tlsa]) -> tuple[Tlsa, ...]:
    """Those of the records that SMTP clients go by (§3.1): certificate usages 2 and 3 with known parameters and data of
    the right length; of several digests for the same thing only the strongest (RFC 7671 §9)."""
    sound = [record for record in records[:MAX_RECORDS] if _is_sound(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in sound:
        kind = record.usage, record.selector
        strongest[kind] = max(strongest.get(kind, FULL), record.matching_type)
    return tuple(record for record in sound if record.matching_type in (FULL, strongest[record.usage, record.selector]))


def match(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], timestamp: float) -> Match:
    """Whether a host's chain fits one of the usable records. `timestamp` is the time now, in seconds since 1970.

    Usage 3 looks at the host's own certificate alone, whatever its names and dates (RFC 7672 §3.1.1); usage 2 wants a
    chain to the trust anchor, valid now, and one of the names (§3.1.2).
    """
    if not chain:
        return Match(None, "the host sent no certificate")
    chain = chain[:MAX_CHAIN]
    for record in records:
        if record.usage == EE and fits(record, chain[0]):
            return Match(record, f"its certificate matches TLSA {describe(record)}")
    why = "no TLSA record matches its certificate"
    for record in records:
        if record.usage == TA:
            found = _match_anchor(record, chain, names, timestamp)
            if found is None:
                return Match(record, f"its certificate comes from the authority of TLSA {describe(record)}")
            why = found
    return Match(None, why)


def fits(record: Tlsa, certificate: bytes) -> bool:
    """Whether the record's data is that of a certificate (RFC 6698 §2.1)."""
    data = certificate
    if record.selector == SPKI:
        spki = _spki(certificate)
        if spki is None:
            return False
        data = spki
    if record.matching_type == SHA256:
        data = hashlib.sha256(data).digest()
    elif record.matching_type == SHA512:
        data = hashlib.sha512(data).digest()
    return data == record.data


def describe(record: Tlsa) -> str:
    """A record as people compare it: parameters and the beginning of its data."""
    data = record.data.hex()
    return f"{record.usage} {record.selector} {record.matching_type} {data[:16]}{'…' if len(data) > 16 else ''}"


async def _secure_alias(resolver: Resolver, host: str) -> str:
    """What the host is an alias of, when DNSSEC vouches for that: its TLSA records come first (§2.2.3). "" for none."""
    alias = await resolver.query(host, "CNAME")
    target = alias.rdata[0] if alias.status is Status.OK and alias.secure and alias.rdata else ""
    return target if isinstance(target, str) and target != host else ""


async def _at(resolver: Resolver, base: str, port: int, *, vouched: bool = False) -> Dane:
    """What holds by the TLSA records at one name; `vouched`: it is a secure alias, wherever its addresses are."""
    addresses = [await resolver.query(base, rdtype) for rdtype in ("A", "AAAA")]
    if any(answer.status is Status.TEMPERROR for answer in addresses):
        return Dane(State.FAILED, f"the DNS gave no sound answer about the addresses of {base}")
    if not vouched and not all(answer.secure for answer in addresses):
        # §2.2.2: name servers of unsigned zones choke on questions for TLSA too often to ask.
        return Dane(State.NONE, f"the addresses of {base} are not signed with DNSSEC")
    return judge(await resolver.query(record_name(base, port), "TLSA"), base)


def judge(answer: Answer, base: str) -> Dane:
    """What an answer about TLSA records means (§2.1, §2.2)."""
    if answer.status is Status.TEMPERROR:
        return Dane(State.FAILED, f"the DNS gave no sound answer about TLSA records of {base}")
    if answer.status is not Status.OK:
        return Dane(State.NONE, f"{base} has no TLSA records")
    if not answer.secure:
        return Dane(State.NONE, f"the TLSA records of {base} are not signed with DNSSEC")
    records = usable([record for record in answer.rdata if isinstance(record, Tlsa)])
    if not records:
        return Dane(State.UNUSABLE, f"none of the {len(answer.rdata)} TLSA records of {base} is usable")
    return Dane(State.USABLE, f"TLSA {', '.join(map(describe, records[:4]))} at {base}", records)


def _is_sound(record: Tlsa) -> bool:
    if record.usage not in (TA, EE) or record.selector not in (CERTIFICATE, SPKI):
        return False
    if record.matching_type == FULL:
        return _is_certificate(record.data) if record.selector == CERTIFICATE else _is_key(record.data)
    return len(record.data) == _DIGEST_OCTETS.get(record.matching_type)


def _match_anchor(record: Tlsa, chain: Sequence[bytes], names: Sequence[str], timestamp: float) -> str | None:
    """None when the chain leads to the record's trust anchor; else why not."""
    certificates = [_parsed(der) for der in chain]
    leaf = certificates[0]
    if leaf is None:
        return "its certificate can't be read"
    anchors = [
        certificate
        for certificate, der in zip(certificates[1:], chain[1:], strict=True)
        if certificate is not None and fits(record, der)
    ]
    if record.matching_type == FULL and record.selector == CERTIFICATE and (given := _parsed(record.data)):
        anchors.append(given)
    others = [certificate for certificate in certificates[1:] if certificate is not None]
    bare = record.data if record.matching_type == FULL and record.selector == SPKI else None
    if why := issued_by(leaf, others, anchors, bare, timestamp):
        return why
    if not names_fit(leaf, names):
        return f"its certificate is from the right authority, but names none of {', '.join(names)}"
    return None


def _parsed(der: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _spki(der: bytes) -> bytes | None:
    certificate = _parsed(der)
    if certificate is None:
        return None
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:
        # Key types that the library doesn't know, and malformed keys, each with an exception of its own.
        return None


def _is_certificate(data: bytes) -> bool:
    return _parsed(data) is not None


def _is_key(data: bytes) -> bool:
    try:
        load_der_public_key(data)
    except Exception:
        return False
    return True
