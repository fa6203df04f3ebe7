"""Periodic work about TLS between mail hosts: others' policies kept fresh, our own TLSA records watched."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from mailsuite.mail.host_name import is_public
from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import Policy, PolicyError
from mailsuite.resolver.answers import Resolver
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.transport_security import known, tlsa_look
from mailsuite.transport_security.fetching import FetchError
from mailsuite.transport_security.keys import KeyProblem
from mailsuite.transport_security.models import DaneLook
from mailsuite.transport_security.policies import Fetch, fetcher

logger = logging.getLogger(__name__)

AT_A_TIME = 20
AT_ONCE = 4

Fetched = tuple[str, str, Policy | str]


def refresh_policies(now: datetime) -> int:
    """Fetches kept policies anew before they run out (RFC 8461 §10.2); returns how many. One that can't be fetched is
    kept as it is."""
    domains = known.to_refresh(now, AT_A_TIME)
    return keep_fetched(asyncio.run(_fetch_all(domains)), now) if domains else 0


def look_at_ourselves(now: datetime, seconds: float | None = None) -> int:
    """Looks at our own TLSA records; returns 1 when they have changed. Hosts without a public name have none.

    Raises TimeoutError, and keeps what was seen before, when it took longer than `seconds`, for those who wait.
    """
    configuration = settings.MAILSUITE
    if not is_public(configuration.hostname):
        return 0
    before = DaneLook.objects.filter(hostname=configuration.hostname).values_list("state", flat=True).first()
    try:
        look = tlsa_look.note(configuration, asyncio.run(_see(configuration.hostname, seconds)), now)
    except KeyProblem as problem:
        logger.warning("%s", problem)
        return 0
    if look.state == DaneLook.State.MISMATCH:
        logger.error("%s", look.text)
    return int(look.state != before)


def keep_fetched(found: Sequence[Fetched], now: datetime) -> int:
    """Keeps what was fetched; returns how many policies."""
    for domain, identifier, policy in found:
        if isinstance(policy, str):
            known.note_failure(domain, policy, now)
        else:
            known.keep(domain, identifier, policy, now, used=False)
    return sum(not isinstance(policy, str) for _, _, policy in found)


async def refetch(domain: str, resolver: Resolver, fetch: Fetch) -> Fetched:
    """A domain's policy as it is served now with its id, or why there is none to be had."""
    answer = await resolver.query(mtasts.record_name(domain), "TXT")
    try:
        identifier = mtasts.find_id([text for text in answer.rdata if isinstance(text, bytes)])
        if identifier is None:
            return domain, "", "its record was not found"
        return domain, identifier, await fetch(domain)
    except (PolicyError, FetchError) as error:
        return domain, "", str(error)


async def _fetch_all(domains: Sequence[str]) -> list[Fetched]:
    resolver = DnsResolver(settings.MAILSUITE.resolver)
    fetch, few = fetcher(resolver, settings.MAILSUITE.allow_private_hosts), asyncio.Semaphore(AT_ONCE)

    async def one(domain: str) -> Fetched:
        async with few:
            return await refetch(domain, resolver, fetch)

    return list(await asyncio.gather(*(one(domain) for domain in domains)))


async def _see(hostname: str, seconds: float | None) -> tlsa_look.Seen:
    async with asyncio.timeout(seconds):
        return await tlsa_look.see(DnsResolver(settings.MAILSUITE.resolver), hostname)
