"""What the addresses in reports are called in DNS: looked up by and by, those with most mail first."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Sum

from mailsuite.mailauth import iprev
from mailsuite.reports.models import DmarcDay, SourceName
from mailsuite.resolver.answers import Resolver
from mailsuite.resolver.dns_resolver import DnsResolver

LOOKED_UP_AT_ONCE = 50
DAYS = 30


def look_up_names(now: datetime, make_resolver: Callable[[], Resolver] = lambda: _resolver()) -> int:
    """Names up to LOOKED_UP_AT_ONCE addresses; returns how many. What DNS does not answer now is asked again later."""
    lately = DmarcDay.objects.filter(day__gte=(now - timedelta(days=DAYS)).date())
    unknown = lately.exclude(source_ip__in=SourceName.objects.values("source_ip")).order_by()
    sums = unknown.values("source_ip").annotate(total=Sum("messages")).order_by(F("total").desc())
    addresses = [row["source_ip"] for row in sums[:LOOKED_UP_AT_ONCE]]
    if not addresses:
        return 0
    outcomes = asyncio.run(_ask(addresses, make_resolver))
    rows = [
        SourceName(source_ip=address, name=outcome.confirmed[:253], looked_up_at=now)
        for address, outcome in zip(addresses, outcomes, strict=True)
        if outcome.result != "temperror"
    ]
    SourceName.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _resolver() -> Resolver:
    return DnsResolver(settings.MAILSUITE.resolver)


async def _ask(addresses: list[str], make_resolver: Callable[[], Resolver]) -> list[iprev.IprevOutcome]:
    resolver = make_resolver()
    return await asyncio.gather(*(iprev.check(resolver, address) for address in addresses))
