"""Looks at a domain's records: what DNS says now, judged, kept, and told when it got worse."""

import asyncio
import ssl
from datetime import datetime, timedelta
from time import monotonic

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mailsuite.database.stored_time import holding, within
from mailsuite.directory.models import Domain
from mailsuite.records.authority import Authority
from mailsuite.records.judging import judge_all
from mailsuite.records.live import Memory, Reach, look_live
from mailsuite.records.models import DnsCheck
from mailsuite.records.observing import LONGEST_PAUSE, keep
from mailsuite.records.planning import Setup, records_of
from mailsuite.records.reporting import Report
from mailsuite.records.seen import Finding, Verdict, View
from mailsuite.records.setup import read_setup
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.signing.models import DkimKey

# Whatever has not answered by then stays unknown.
SECONDS = 25.0
# A look that takes longer than this has died with its process.
DEAD_AFTER = timedelta(minutes=2)
RUN_SECONDS = 60.0
# Whom to trust and where to connect, in place of the system's authorities and the ports that everybody knows.
TRUST: ssl.SSLContext | None = None
PORTS: dict[int, int] = {}


def check_domain(domain: Domain) -> Report:
    """Looks now, keeps what it saw, and returns it; takes SECONDS at most, and ten more for what records lead to."""
    begin_check(domain.pk, timezone.now())
    return finish_check(domain)


def check_due(now: datetime) -> int:
    """Looks at the domains whose turn it is; returns how many. Other jobs wait meanwhile, so it stops after a while and
    goes on the next time."""
    due = Domain.objects.filter(state=Domain.State.ACTIVE).exclude(holding("dns_check__due_at", now, LONGEST_PAUSE))
    started, checked, memory = monotonic(), 0, Memory()
    for domain in due.order_by("dns_check__due_at", "pk"):
        if begin_check(domain.pk, now):
            finish_check(domain, memory)
            checked += 1
        if monotonic() - started > RUN_SECONDS:
            break
    return checked


def begin_check(domain_id: int, now: datetime) -> bool:
    """Marks a look as under way; False when another is already."""
    with transaction.atomic():
        row, _ = DnsCheck.objects.select_for_update().get_or_create(domain_id=domain_id)
        if within(row.started_at, now, DEAD_AFTER):
            return False
        DnsCheck.objects.filter(pk=row.pk).update(started_at=now)
    return True


def finish_check(domain: Domain, memory: Memory | None = None) -> Report:
    """The look itself, after begin_check; `memory` is shared by the looks of one run."""
    report = Report(tuple(look(read_setup(domain), memory or Memory())))
    with transaction.atomic():
        _note_keys(domain, report)
        keep(domain.pk, report, timezone.now())
    return report


def look(setup: Setup, memory: Memory) -> list[Finding]:
    """The findings, without a database."""
    return asyncio.run(_look(setup, memory))


async def _look(setup: Setup, memory: Memory) -> list[Finding]:
    configuration = settings.MAILSUITE
    public = DnsResolver(configuration.resolver)
    own = Authority(
        public, (setup.domain, setup.host), configuration.name_server_port, configuration.allow_private_hosts
    )
    view = View(own, public, DnsResolver(configuration.resolver, checking_disabled=True))
    try:
        async with asyncio.timeout(SECONDS):
            findings = await judge_all(setup, view)
    except TimeoutError:
        text = "DNS took too long to answer; try again."
        return [Finding(record, Verdict.UNKNOWN, text) for record in records_of(setup)]
    if not configuration.check_services:
        return findings
    reach = Reach(public, configuration.allow_private_hosts, TRUST, PORTS, memory)
    return await look_live(setup, findings, reach)


def _note_keys(domain: Domain, report: Report) -> None:
    """A key's record counts as seen when the domain's own name servers have it."""
    now = timezone.now()
    for finding in report.findings:
        selector, mark, _ = finding.record.name.partition("._domainkey.")
        # Where the name servers can't be asked from here, what the public sees must do.
        fresh = finding.own if finding.own.verdict is not Verdict.UNKNOWN else finding.public
        if mark and fresh.verdict in (Verdict.OK, Verdict.WARN):
            keys = DkimKey.objects.filter(domain=domain, selector=selector)
            keys.filter(seen_in_dns_at=None).update(seen_in_dns_at=now)
            keys.filter(state=DkimKey.State.PENDING).update(state=DkimKey.State.PUBLISHED)
