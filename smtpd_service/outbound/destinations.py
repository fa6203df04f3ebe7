"""From a domain to the endpoints to try, in order: routes first, else the DNS by the rules of routing.py."""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from mailsuite.mail.client_network import Network
from mailsuite.mail.networks import is_forbidden
from mailsuite.resolver.answers import Answer, Resolver
from smtpd_service.outbound.routing import (
    MailHost,
    RouteFacts,
    Unroutable,
    host_addresses,
    is_address,
    literal_address,
    mail_hosts,
    no_address,
)
from smtpd_service.outbound.transport import Endpoint
from smtpd_service.outbound.way_out import WayOut

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where mail for a domain goes: its own mail hosts, or the host of a route. Equal ones share connections."""

    domain: str
    route: RouteFacts | None = None

    @property
    def key(self) -> str:
        return f"{self.route.host}:{self.route.port} {self.route.username}" if self.route else self.domain


class Destinations:
    """Finds endpoints. `own_names` are this host's, `allowed` the private networks that may be dialled; `way_out` is
    asked each time by which of this host's addresses."""

    def __init__(
        self,
        resolver: Resolver,
        own_names: Collection[str],
        allowed: Sequence[Network],
        *,
        port: int = SMTP_PORT,
        way_out: Callable[[], WayOut] = WayOut,
    ) -> None:
        self._resolver, self._own_names, self._allowed, self._port = resolver, own_names, allowed, port
        self._way_out = way_out

    async def endpoints(self, hop: NextHop) -> list[Endpoint] | Unroutable:
        if hop.route:
            return await self._of_route(hop.route)
        if address := literal_address(hop.domain):
            hosts: list[MailHost] | Unroutable = [MailHost(address)]
        else:
            mx = await self._resolver.query(hop.domain, "MX")
            hosts = mail_hosts(hop.domain, mx, self._own_names, random.shuffle)
        if isinstance(hosts, Unroutable):
            return hosts
        return await self._of_hosts(hop.domain, hosts)

    async def _of_route(self, route: RouteFacts) -> list[Endpoint] | Unroutable:
        found, _ = await self._addresses(route.host)
        # A smarthost asks for a password, not for a reverse name.
        way_out = replace(self._way_out(), unnamed=())
        addresses = way_out.usable(found)
        if found and not addresses:
            return no_address(route.host, (), (), found)
        if not addresses:
            # A name that is wrong in our own settings must not bounce anybody's mail.
            text = f"the route's host {route.host} has no address now"
            return Unroutable("4.4.4", "route-without-address", text)
        return [Endpoint(route.host, address, route.port, way_out.source(address)) for address in addresses]

    async def _of_hosts(self, domain: str, hosts: Sequence[MailHost]) -> list[Endpoint] | Unroutable:
        found = await asyncio.gather(*(self._addresses(host.name) for host in hosts))
        all_found = [address for addresses, _ in found for address in addresses]
        forbidden = [address for address in all_found if is_forbidden(address, self._allowed)]
        allowed = [address for address in all_found if address not in forbidden]
        way_out = self._way_out()
        usable = set(way_out.usable(allowed))
        endpoints = [
            Endpoint(host.name, address, self._port, way_out.source(address))
            for host, (addresses, _) in zip(hosts, found, strict=True)
            for address in addresses
            if address in usable
        ]
        answers = [answer for _, answers in found for answer in answers]
        return endpoints or no_address(domain, answers, forbidden, allowed)

    async def _addresses(self, host: str) -> tuple[list[str], list[Answer]]:
        if is_address(host):
            return [host], []
        a, aaaa = await asyncio.gather(self._resolver.query(host, "A"), self._resolver.query(host, "AAAA"))
        return host_addresses(a, aaaa), [a, aaaa]
