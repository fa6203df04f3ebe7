"""What DNS says now beside what it should say."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import dns.exception
import dns.rdatatype
import dns.resolver
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from mailsuite.directory.models import Domain
from mailsuite.records.models import DkimKey
from mailsuite.records.publishing import Record, records_for

SECONDS = 5.0
QUESTIONS_AT_ONCE = 8


class Status(Enum):
    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` is what DNS answered, in the form of `record.value`; `advice` one sentence, empty when all is well."""

    record: Record
    status: Status
    seen: tuple[str, ...]
    advice: str


def check_domain(domain: Domain) -> list[Finding]:
    """A finding for each record; asks MAILSUITE_RESOLVER or the system's resolver, and notes DKIM records seen."""
    resolver = _resolver()
    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
        findings = list(pool.map(lambda record: _check(record, resolver), records_for(domain)))
    selectors = [
        finding.record.name.partition("._domainkey.")[0]
        for finding in findings
        if finding.status is Status.OK and "._domainkey." in finding.record.name
    ]
    with transaction.atomic():
        DkimKey.objects.filter(domain=domain, selector__in=selectors, seen_in_dns_at=None).update(seen_in_dns_at=Now())
    return findings


def check_unseen(now: datetime) -> int:
    """Looks again for active DKIM keys whose record was never seen; returns how many are there now. For the periodic
    work."""
    unseen = DkimKey.objects.filter(state=DkimKey.State.ACTIVE, seen_in_dns_at=None, domain__state=Domain.State.ACTIVE)
    before = unseen.count()
    for domain in Domain.objects.filter(pk__in=list(unseen.values_list("domain", flat=True))):
        check_domain(domain)
    return before - unseen.count()


def _resolver() -> dns.resolver.Resolver:
    if not settings.MAILSUITE.resolver:
        return dns.resolver.Resolver()
    resolver = dns.resolver.Resolver(configure=False)
    host, _, port = settings.MAILSUITE.resolver.rpartition(":")
    resolver.nameservers = [(host or port).strip("[]")]
    if host and port.isdigit():
        resolver.port = int(port)
    return resolver


def _check(record: Record, resolver: dns.resolver.Resolver) -> Finding:
    try:
        answer = resolver.resolve(record.name, record.type, lifetime=SECONDS, search=False, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return Finding(record, Status.MISSING, (), f"Publish {record.type} at {record.name}.")
    except dns.exception.DNSException as error:
        return Finding(record, Status.UNKNOWN, (), f"DNS did not answer ({type(error).__name__}): try again later.")
    seen = tuple(_text(rdata, record.type) for rdata in answer.rrset or ())
    return _compare(record, tuple(text for text in seen if _is_of_kind(text, record)))


def _compare(record: Record, seen: tuple[str, ...]) -> Finding:
    if not seen:
        return Finding(record, Status.MISSING, seen, f"Publish {record.type} at {record.name}.")
    if record.value.startswith("v=") and len(seen) > 1:
        return Finding(record, Status.DIFFERS, seen, f"There are {len(seen)} such records at {record.name}: keep one.")
    if any(_same(text, record) for text in seen):
        return Finding(record, Status.OK, seen, "")
    return Finding(record, Status.DIFFERS, seen, f"Change {record.type} at {record.name} to: {record.value}")


def _same(text: str, record: Record) -> bool:
    """SPF and DMARC are an administrator's to tighten or widen: ours stays good while it is one of theirs."""
    if record.type == "MX":
        return text.split()[-1:] == record.value.split()[-1:]
    if record.value.startswith("v=spf1"):
        words = text.lower().split()
        return words[:1] == ["v=spf1"] and "mx" in {word.lstrip("+") for word in words} and "+all" not in words
    if record.value.startswith("v=DMARC1"):
        return text.replace(" ", "").lower().startswith("v=dmarc1;p=")
    if "v=DKIM1" in record.value:
        return _tag(text, "p") == _tag(record.value, "p")
    return text.lower() == record.value.lower()


def _is_of_kind(text: str, record: Record) -> bool:
    """A domain has many TXT records: only those of the same version tag are rivals."""
    return record.type != "TXT" or "._domainkey." in record.name or text.lower()[:6] == record.value.lower()[:6]


def _tag(text: str, name: str) -> str:
    tags = dict(part.split("=", 1) for part in text.replace(" ", "").split(";") if "=" in part)
    return tags.get(name, "")


def _text(rdata: object, rdata_type: str) -> str:
    if rdata_type == "TXT":
        return b"".join(rdata.strings).decode(errors="replace")  # type: ignore[attr-defined]
    return rdata.to_text()  # type: ignore[attr-defined,no-any-return]
