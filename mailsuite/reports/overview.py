"""What the reports' pages show of a domain, as plain values."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, QuerySet, Sum
from django.db.models.functions import TruncDate

from mailsuite.directory.models import Domain
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.reports.charts import Chart, Kind, stacked
from mailsuite.reports.models import (
    DmarcDay,
    DmarcRecord,
    DmarcReport,
    FailureReport,
    IncomingReport,
    SourceName,
    TlsFailure,
    TlsPolicy,
)
from mailsuite.reports.sentences import Sentence, sentences
from mailsuite.reports.services import Evidence, SourceSum, days_of, evidence, sources, weigh

PERIODS = (7, 30, 90, 365)
ROWS = 50
OUTCOMES = (Kind("passed", "accepted"), Kind("forwarded", "deferred"), Kind("failed", "refused"))
SESSIONS = (Kind("secure", "accepted"), Kind("failed", "refused"))


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A row of the table of sources; shares are whole percent."""

    sums: SourceSum
    name: str
    share: int
    dkim_share: int
    spf_share: int
    tone: str
    what: str


@dataclass(frozen=True, slots=True)
class AddressLine:
    """One address of a source."""

    source_ip: str
    name: str
    messages: int
    aligned: int
    last_day: date


@dataclass(frozen=True, slots=True)
class TlsFailureLine:
    count: int
    result_type: str
    meaning: str
    receiving_host: str


@dataclass(frozen=True, slots=True)
class DomainLine:
    """A domain in the list of all."""

    domain: Domain
    evidence: Evidence
    share: int
    sentence: Sentence


def period(text: str) -> int:
    """The number of days that an address asks for."""
    return int(text) if text.isdecimal() and int(text) in PERIODS else 30


def domain_lines(domains: Iterable[Domain], days: int) -> list[DomainLine]:
    lines = []
    for domain in domains:
        found = evidence(domain.pk, days)
        share = _percent(found.aligned, found.messages)
        lines.append(DomainLine(domain, found, share, sentences(found, domain.name, policy_of(domain))[0]))
    return lines


def domain_page(domain: Domain, days: int) -> dict[str, Any]:
    """The context of a domain's page."""
    rows = days_of(domain.pk, days)
    found = sources(rows)
    proved = evidence(domain.pk, days)
    policy = policy_of(domain)
    return {
        "evidence": proved,
        "policy": policy,
        "sentences": sentences(proved, domain.name, policy),
        "chart": _chart(rows, days),
        "sources": [_line(one, domain) for one in found[:ROWS]],
        "more_sources": max(0, len(found) - ROWS),
        "reports": DmarcReport.objects.using("reader").filter(domain=domain)[:8],
        "failure_reports": FailureReport.objects.using("reader").filter(domain=domain)[:8],
        "uncounted": _uncounted(domain, days),
        **_tls(domain, days),
    }


def source_page(domain: Domain, source: str, days: int) -> dict[str, Any]:
    """The context of a source's page: its days, addresses and newest rows."""
    rows = days_of(domain.pk, days).filter(source=source)
    found = sources(rows)
    records = DmarcRecord.objects.using("reader").filter(
        report__domain=domain, report__is_verified=True, source=source, report__begins_at__gte=_first(days)
    )
    return {
        "line": _line(found[0], domain) if found else None,
        "evidence": weigh(found, days_reported=0, reporters=0),
        "chart": _chart(rows, days),
        "addresses": _addresses(rows),
        "records": records.select_related("report").order_by("-report__begins_at", "-count")[:ROWS],
    }


def policy_of(domain: Domain) -> str:
    """The p= that reporters saw last, "" when none has told."""
    reports = DmarcReport.objects.using("reader").filter(domain=domain, is_verified=True, policy_domain=domain.name)
    text = reports.order_by("-ends_at").values_list("policy_published", flat=True).first() or ""
    tags = (part.strip().partition("=") for part in text.split(";"))
    return next((value for name, _, value in tags if name == "p"), "")


def _chart(rows: QuerySet[DmarcDay], days: int) -> Chart:
    sums = rows.order_by().values("day").annotate(m=Sum("messages"), a=Sum("aligned"), o=Sum("overridden"))
    counts = {row["day"]: (row["a"], row["o"], row["m"] - row["a"] - row["o"]) for row in sums}
    return stacked(counts, OUTCOMES, _today(), days)


def _line(sums: SourceSum, domain: Domain) -> SourceLine:
    share = _percent(sums.aligned, sums.messages)
    if not sums.source:
        tone, what = "plain", "Nothing speaks for this mail: forged, as a rule."
    elif not sums.is_failing:
        tone, what = "good", "Passes."
    elif not sums.aligned:
        tone, what = "bad", f"Never passes. If it is yours, have it sign with DKIM as {domain}; if not, leave it."
    else:
        tone, what = "waiting", "Passes at times: forwarding, or one of its ways of sending is not set up."
    return SourceLine(
        sums,
        sums.source or "nobody",
        share,
        _percent(sums.dkim_aligned, sums.messages),
        _percent(sums.spf_aligned, sums.messages),
        tone,
        what,
    )


def _addresses(rows: QuerySet[DmarcDay]) -> list[AddressLine]:
    sums: Any = (
        rows.order_by()
        .values("source_ip")
        .annotate(m=Sum("messages"), a=Sum("aligned"), last=Max("day"))
        .order_by(F("m").desc(), "source_ip")[:ROWS]
    )
    found = list(sums)
    named = SourceName.objects.using("reader").filter(source_ip__in=[row["source_ip"] for row in found])
    names = dict(named.values_list("source_ip", "name"))
    return [
        AddressLine(row["source_ip"], names.get(row["source_ip"], ""), row["m"], row["a"], row["last"]) for row in found
    ]


def _tls(domain: Domain, days: int) -> dict[str, Any]:
    counted = {"report__domain": domain, "report__is_verified": True, "report__begins_at__gte": _first(days)}
    sums = (
        TlsPolicy.objects.using("reader")
        .filter(**counted)
        .order_by()
        .annotate(day=TruncDate("report__begins_at", tzinfo=UTC))
        .values("day")
        .annotate(s=Sum("successes"), f=Sum("failures"))
    )
    counts = {row["day"]: (row["s"], row["f"]) for row in sums}
    failures: Any = (
        TlsFailure.objects.using("reader")
        .filter(**{f"policy__{name}": value for name, value in counted.items()})
        .order_by()
        .values("result_type", "receiving_host")
        .annotate(n=Sum("count"))
        .order_by(F("n").desc())[:10]
    )
    return {
        "tls_chart": stacked(counts, SESSIONS, _today(), days),
        "tls_failures": [
            TlsFailureLine(row["n"], row["result_type"], _meaning(row["result_type"]), row["receiving_host"])
            for row in failures
        ],
    }


def _meaning(result_type: str) -> str:
    try:
        return ResultType(result_type).meaning
    except ValueError:
        return "TLS failed."


def _uncounted(domain: Domain, days: int) -> str:
    """How much mail to the report addresses did not count, by what came of it; "" when all did."""
    rows = IncomingReport.objects.using("reader").filter(domain=domain, received_at__gte=_first(days))
    counts = dict(rows.order_by().values_list("state").annotate(n=Count("pk")))
    causes = dict(rows.exclude(cause="").order_by().values_list("cause").annotate(n=Count("pk")))
    found = (
        (counts.get("waiting", 0), "waiting to be read"),
        (counts.get("failed", 0), "that could not be read"),
        *((causes.get(cause.value, 0), str(cause.label)) for cause in IncomingReport.Cause),
    )
    return ", ".join(f"{count:,} {words}" for count, words in found if count)


def _first(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _today() -> date:
    return datetime.now(UTC).date()


def _percent(part: int, whole: int) -> int:
    """Rounded down, so that 100 means all."""
    return part * 100 // whole if whole else 0
