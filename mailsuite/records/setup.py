"""What is set up for a domain, read into the plain value that its records follow from."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address

from cryptography import x509
from cryptography.x509.oid import NameOID
from django.conf import settings

from mailsuite.directory import lookup
from mailsuite.directory.models import Domain
from mailsuite.mailauth import dmarc
from mailsuite.mailauth.dns_record import Record, zone_text
from mailsuite.mailauth.report_destinations import read_uri
from mailsuite.records.models import DomainPolicy, Observation
from mailsuite.records.planning import Key, Setup, records_of
from mailsuite.records.seen import Verdict, values_of
from mailsuite.signing.models import DkimKey
from mailsuite.transport_security.keys import KeyProblem, read_certificate
from mailsuite.transport_security.publishing import (
    has_lasting_key,
    mta_sts_records,
    own_policy,
    tlsa_records,
    tlsrpt_records,
)

# Addresses of these networks stand for "the way out"; nothing is sent to them.
ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
# Who issues certificates, by what their names have in common, as CAA records call them.
ISSUERS = {"let's encrypt": "letsencrypt.org", "zerossl": "sectigo.com", "sectigo": "sectigo.com", "google": "pki.goog",
           "buypass": "buypass.com", "digicert": "digicert.com"}  # fmt: skip


def read_setup(domain: Domain, using: str = "default") -> Setup:
    """All that a domain's records follow from, read by that alias of the database."""
    policy = DomainPolicy.objects.using(using).filter(domain=domain).first() or DomainPolicy()
    keys = DkimKey.objects.using(using).filter(domain=domain).order_by("-algorithm", "selector")
    return Setup(
        domain=domain.name,
        host=settings.MAILSUITE.hostname,
        addresses=host_addresses(domain, using),
        mode=policy.mode,
        dmarc_stage=policy.dmarc_stage,
        keys=tuple(Key(key.selector, key.algorithm, key.public_key, key.state) for key in keys),
        offered=frozenset(name for name, addresses in settings.MAILSUITE.listeners.items() if addresses),
        ca=certificate_issuer(),
        transport=(*mta_sts_records(domain), *tlsrpt_records(domain)),
        tlsa=tuple(tlsa_records()),
        has_lasting_key=has_lasting_key(),
        policy=own_policy(domain),
        reporting=reporting_domains(domain, using),
        hosted=frozenset(lookup.hosted_names()),
    )


def records_for(domain: Domain) -> list[Record]:
    """What to publish for the domain, most needed first."""
    return records_of(read_setup(domain))


def zone_file(domain: Domain) -> str:
    """All of them as text for a zone file."""
    return zone_text(records_for(domain), domain.name)


def host_addresses(domain: Domain, using: str = "default") -> tuple[str, ...]:
    """The addresses that others reach this host by: MAILSUITE_PUBLIC_ADDRESSES, else the public ones among those that
    the system sends from, else what DNS said last for the host's name."""
    return _own_addresses() or _seen_addresses(domain, using)


def versions_without_name(using: str = "reader") -> frozenset[int]:
    """The IP versions whose addresses of this host have, as the public saw it last, no reverse name."""
    chosen = [address for address in settings.MAILSUITE.source_addresses if address.is_global]
    versions = {address.version for address in chosen}
    # Behind address translation others see another than the one that mail is sent from.
    seen_by_others = [one for one in map(ip_address, _own_addresses()) if one.version not in versions]
    named: dict[int, bool] = {}
    for address in (*chosen, *seen_by_others):
        seen = Observation.objects.using(using).filter(name=address.reverse_pointer, type="PTR")
        row = seen.filter(source=Observation.Source.PUBLIC).order_by("-at", "-pk").first()
        is_missing = row is not None and row.verdict == Verdict.MISSING
        named[address.version] = named.get(address.version, False) or not is_missing
    return frozenset(version for version, is_named in named.items() if not is_named)


def reporting_domains(domain: Domain, using: str = "default") -> tuple[str, ...]:
    """The other hosted domains whose DMARC record, as it was seen last, has reports sent to the domain."""
    seen = Observation.objects.using(using).filter(type="TXT", name__startswith="_dmarc.")
    seen = seen.filter(domain__state=Domain.State.ACTIVE).exclude(domain=domain)
    # Cheap first: who ever named the domain there; then only what was seen last counts.
    found = []
    for name in sorted(set(seen.filter(values__contains=f"@{domain.name}").values_list("domain__name", flat=True))):
        row = seen.filter(domain__name=name, name=f"_dmarc.{name}").order_by("-at", "-pk").first()
        if row and _sends_reports(values_of(row), domain.name) and not _is_family(name, domain.name):
            found.append(name)
    return tuple(found)


def certificate_issuer() -> str:
    """Who issued this host's certificate, as CAA records name it; "" for a certificate of our own making."""
    try:
        certificate = read_certificate(settings.MAILSUITE)
    except KeyProblem:
        return ""
    if certificate.issuer == certificate.subject:
        return ""
    names = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    organization = " ".join(_text(name) for name in names).lower()
    return next((ca for words, ca in ISSUERS.items() if words in organization), "")


def _own_addresses() -> tuple[str, ...]:
    """Those that the settings name, else those that the system sends from."""
    return tuple(map(str, settings.MAILSUITE.public_addresses)) or _outgoing_addresses()


def _outgoing_addresses() -> tuple[str, ...]:
    chosen = {address.version: str(address) for address in settings.MAILSUITE.source_addresses}
    found = []
    for family, target in ELSEWHERE:
        if source := chosen.get(ip_address(target).version):
            found.append(source)
            continue
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                # Of a datagram socket this sends nothing: the system only chooses its own address.
                probe.connect((target, 9))
                found.append(probe.getsockname()[0])
        except OSError:
            continue
    return tuple(address for address in found if ip_address(address).is_global)


def _seen_addresses(domain: Domain, using: str) -> tuple[str, ...]:
    found: list[str] = []
    for kind in ("A", "AAAA"):
        rows = Observation.objects.using(using).filter(domain=domain, name=settings.MAILSUITE.hostname, type=kind)
        if row := rows.order_by("-at", "-pk").first():
            found += values_of(row)
    return tuple(found)


def _sends_reports(texts: Sequence[str], domain: str) -> bool:
    records = [record for text in texts if (record := dmarc.parse_record(text.encode()))]
    found = [read_uri(uri) for record in records for uri in record.rua]
    return any(one.address.domain == domain for one in found if one)


def _is_family(one: str, other: str) -> bool:
    """Whether one name is below the other, so that nobody's consent is needed."""
    return one.endswith(f".{other}") or other.endswith(f".{one}")


def _text(name: "x509.NameAttribute[str | bytes]") -> str:
    return name.value if isinstance(name.value, str) else name.value.decode(errors="replace")
