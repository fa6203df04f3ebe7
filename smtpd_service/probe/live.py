"""A delivery test with this host's own settings: resolver, routes, remembered policies. For the command and the web."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from mailsuite.configuration import Configuration
from mailsuite.directory.models import Domain
from mailsuite.resolver.dns_resolver import DnsResolver
from mailsuite.transport_security.policies import DatabaseMemory, Sts, StsPolicies, fetcher
from mailsuite.transport_security.validation import resolver_validates
from smtpd_service.outbound.published_policy import PublishedPolicy
from smtpd_service.outbound.queue_reader import QueueReader
from smtpd_service.outbound.way_out import configured
from smtpd_service.probe.delivery import Tools, probe_delivery
from smtpd_service.probe.hosted_here import stages_here
from smtpd_service.probe.stage import Stage


def default_sender(configuration: Configuration) -> str:
    """Postmaster of the first domain hosted here, as whom a test asks; of the host itself before there is one."""
    own = Domain.objects.using("reader").filter(state=Domain.State.ACTIVE, alias_of=None)
    first = own.order_by("pk").values_list("name", flat=True).first()
    return f"postmaster@{first or configuration.hostname}"


async def probe_live(text: str, configuration: Configuration, reverse_path: str) -> AsyncGenerator[Stage, None]:
    """The stages of a test of an address or a domain, as they happen. Asks DNS and hosts on the network."""
    resolver = DnsResolver(configuration.resolver)
    memory, reader = DatabaseMemory(), QueueReader()
    try:
        validation = await resolver_validates(resolver)
        policies = StsPolicies(resolver, memory, fetcher(resolver, configuration.allow_private_hosts))
        tools = Tools(
            resolver=resolver,
            policy=PublishedPolicy(resolver, _Anew(policies), validates=_yes if validation.is_good else None),
            helo=configuration.hostname,
            reverse_path=reverse_path,
            own_names={configuration.hostname},
            allowed=configuration.allow_private_hosts,
            routes=await reader.routes(),
            why_no_dane=validation.text,
            here=lambda address: reader.ask(stages_here, address),
            way_out=replace(configured(configuration), unnamed=await reader.versions_without_name()),
        )
        async with aclosing(probe_delivery(text, tools)) as stages:
            async for stage in stages:
                yield stage
    finally:
        memory.close()
        reader.close()


async def _yes() -> bool:
    return True


class _Anew:
    """Fetches a domain's policy once in a test, also where one is remembered: who tests wants to see what is served."""

    def __init__(self, policies: StsPolicies) -> None:
        self._policies, self._found = policies, dict[str, Sts]()

    async def of(self, domain: str) -> Sts:
        if domain not in self._found:
            self._found[domain] = await self._policies.of(domain, anew=True)
        return self._found[domain]
