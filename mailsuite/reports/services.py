"""What reports prove about a domain: the facts that the stages of its DMARC policy are decided on."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Count, Max, Min, Sum

from mailsuite.reports.models import DmarcDay, DmarcReport


@dataclass(frozen=True, slots=True)
class Evidence:
    """What verified aggregate reports said of a domain in some days; counts are of messages.

    `aligned` are those that passed DMARC. `sources_failing` names, most mail first, who sends mail that fails and is
    probably meant to: some of it passes, or it is authenticated as somebody, though not as the domain. `failing` is
    how much of theirs fails. `unauthenticated` failed too, but passed neither SPF nor DKIM for anybody: forgeries,
    as a rule, and no reason to wait. `overridden` failed on its way through forwarders and lists that receivers know.
    `first_day` and `last_day` are None without a report; `days_reported` counts days with mail, `reporters` the
    organisations that reported.
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


def evidence(domain_id: int, days: int, today: date | None = None) -> Evidence:
    """The evidence of the last `days` days before today (UTC), names below the domain included."""
    first = (today or datetime.now(UTC).date()) - timedelta(days=days)
    rows = DmarcDay.objects.filter(domain=domain_id, day__gte=first)
    totals = rows.aggregate(
        messages=Sum("messages", default=0),
        aligned=Sum("aligned", default=0),
        first_day=Min("day"),
        last_day=Max("day"),
        days_reported=Count("day", distinct=True),
    )
    reports = DmarcReport.objects.filter(domain=domain_id, is_verified=True, begins_at__date__gte=first)
    reporters = reports.values("org_name").distinct().count()
    return Evidence(
        **totals,
        failing=0,
        unauthenticated=0,
        overridden=0,
        sources=(),
        sources_failing=(),
        reporters=reporters,
    )
