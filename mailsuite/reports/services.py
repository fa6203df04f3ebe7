"""What reports prove about a domain: the facts that the stages of its DMARC policy are decided on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Min, QuerySet, Sum

from mailsuite.reports.models import DmarcDay, DmarcReport

# Of a source's mail: less than this fails now and then on its way, whatever its sender does.
FAILING_SHARE = 0.02
# What it takes for a stricter policy: days with reports, so that those who send but once in a while were seen too, and
# the share of mail that passes among what is meant to come from the domain. A forger who is authenticated as somebody
# looks like a sender of the domain that fails, and must not keep it where it is.
ENOUGH_DAYS = 7
ENOUGH_SHARE = 0.98
COUNTS = ("messages", "aligned", "dkim_aligned", "spf_aligned", "quarantined", "rejected", "overridden")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What verified aggregate reports said of a domain in some days; counts are of messages.

    `aligned` are those that passed DMARC. `sources` names, most mail first, who sends and is authenticated as
    somebody; `sources_failing` those of them of whose mail at least FAILING_SHARE is not authenticated as the domain;
    `failing` is how much of theirs fails. `unauthenticated` failed too, but passed neither SPF nor DKIM for anybody:
    forgeries, as a rule, and no reason to wait. `overridden` failed on its way through forwarders and lists that
    receivers know. `first_day` and `last_day` are None without a report; `days_reported` counts days with mail,
    `reporters` the organisations that reported.
    """

    messages: int
    aligned: int
    failing: int
    unauthenticated: int
    overridden: int
    sources: tuple[str, ...]
    sources_failing: tuple[str, ...]
    first_day: date | None
    last_day: date | None
    days_reported: int
    reporters: int

    @property
    def aligned_share(self) -> float:
        """The share of mail that passes among all that is not plainly forged or forwarded; 1.0 when there is none."""
        meant = self.messages - self.unauthenticated - self.overridden
        return self.aligned / meant if meant > 0 else 1.0


@dataclass(frozen=True, slots=True)
class SourceSum:
    """One sender in a period. `source` is "" for whoever is authenticated as nobody; `failing` neither passed nor was
    excused by a forwarder or list that the receiver knows."""

    source: str
    messages: int
    aligned: int
    dkim_aligned: int
    spf_aligned: int
    quarantined: int
    rejected: int
    overridden: int
    addresses: int
    first_day: date
    last_day: date

    @property
    def failing(self) -> int:
        return self.messages - self.aligned - self.overridden

    @property
    def is_failing(self) -> bool:
        return self.failing > 0 and self.failing >= self.messages * FAILING_SHARE


def days_of(domain_id: int, days: int, today: date | None = None) -> QuerySet[DmarcDay]:
    """The counts of the last `days` days before today (UTC), and of today so far."""
    first = (today or datetime.now(UTC).date()) - timedelta(days=days)
    return DmarcDay.objects.using("reader").filter(domain=domain_id, day__gte=first)


def sources(rows: QuerySet[DmarcDay]) -> list[SourceSum]:
    """Who sends, most mail first; those authenticated as nobody are one source."""
    sums: Any = (
        rows.order_by()
        .values("source")
        .annotate(
            **{f"{name}_sum": Sum(name) for name in COUNTS},
            addresses=Count("source_ip", distinct=True),
            first_day=Min("day"),
            last_day=Max("day"),
        )
        .order_by(F("messages_sum").desc(), "source")
    )
    return [
        SourceSum(
            source=row["source"],
            addresses=row["addresses"],
            first_day=row["first_day"],
            last_day=row["last_day"],
            **{name: row[f"{name}_sum"] for name in COUNTS},
        )
        for row in sums
    ]


def evidence(domain_id: int, days: int, today: date | None = None) -> Evidence:
    """The evidence of the last `days` days before today (UTC), names below the domain included."""
    rows = days_of(domain_id, days, today)
    first = (today or datetime.now(UTC).date()) - timedelta(days=days)
    reports = DmarcReport.objects.using("reader").filter(domain=domain_id, is_verified=True, ends_at__date__gte=first)
    return weigh(
        sources(rows),
        days_reported=rows.order_by().values("day").distinct().count(),
        reporters=reports.order_by().values("org_name").distinct().count(),
    )


def weigh(found: Sequence[SourceSum], *, days_reported: int, reporters: int) -> Evidence:
    """The evidence in the sums of a period."""
    named = [one for one in found if one.source]
    failing = [one for one in named if one.is_failing]
    return Evidence(
        messages=sum(one.messages for one in found),
        aligned=sum(one.aligned for one in found),
        failing=sum(one.failing for one in failing),
        unauthenticated=sum(one.failing for one in found if not one.source),
        overridden=sum(one.overridden for one in found),
        sources=tuple(one.source for one in named),
        sources_failing=tuple(one.source for one in sorted(failing, key=lambda one: -one.failing)),
        first_day=min((one.first_day for one in found), default=None),
        last_day=max((one.last_day for one in found), default=None),
        days_reported=days_reported,
        reporters=reporters,
    )
