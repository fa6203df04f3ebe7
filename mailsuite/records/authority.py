"""The name servers of a domain, found and asked directly: what they say is fresh, whatever others still remember.

An `Authority` is a resolver like any other, so that SPF and DMARC can be evaluated over it: names of zones that it
was told of are asked at their own servers, all others at the public resolver.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mailsuite.mail.client_network import Network
from mailsuite.mail.networks import is_forbidden
from mailsuite.resolver.answers import Answer, Resolver, Status
from mailsuite.resolver.dns_resolver import EDNS_OCTETS, rdata_value

TRY_SECONDS = 2.0
TRIES = 2
MAX_SERVERS = 8
MAX_CHAIN = 8
AT_ONCE = 12
UNKNOWN = Answer(Status.TEMPERROR, (), 5)


@dataclass(frozen=True, slots=True)
class Server:
    """One address of a name server; `problem` ends the sentence that begins with its name, "" when it answers."""

    name: str
    address: str
    serial: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone and its servers. Without an `apex` none was found: `status` says whether because there is none (NXDOMAIN)
    or because DNS did not answer (TEMPERROR)."""

    apex: str = ""
    servers: tuple[Server, ...] = ()
    status: Status = Status.OK

    @property
    def healthy(self) -> tuple[Server, ...]:
        return tuple(server for server in self.servers if not server.problem)

    @property
    def serials(self) -> frozenset[int]:
        return frozenset(server.serial for server in self.healthy if server.serial is not None)


@dataclass(slots=True)
class Authority:
    """Belongs to one event loop and one check: it remembers every answer for good. `bases` are the names at or above
    which zones are looked for; `allowed` the private networks whose name servers may be asked."""

    resolver: Resolver
    bases: Sequence[str]
    port: int = 53
    allowed: Sequence[Network] = ()
    questions: int = 0
    _zones: dict[str, asyncio.Task[Zone]] = field(default_factory=dict)
    _answers: dict[tuple[str, str], asyncio.Task[Answer]] = field(default_factory=dict)
    _at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def query(self, name: str, rdtype: str) -> Answer:
        """What the domain's own name servers say; each question is asked once in a check."""
        key = (name.rstrip(".").lower(), rdtype.upper())
        if key not in self._answers:
            self._answers[key] = asyncio.create_task(self._answer(*key))
        return await asyncio.shield(self._answers[key])

    async def zone(self, name: str) -> Zone:
        """The zone that holds the name, by what the public resolver says."""
        if name not in self._zones:
            self._zones[name] = asyncio.create_task(self._find_zone(name))
        return await asyncio.shield(self._zones[name])

    async def _answer(self, name: str, rdtype: str) -> Answer:
        base = next((base for base in self.bases if name == base or name.endswith(f".{base}")), None)
        if base is None:
            return await self.resolver.query(name, rdtype)
        zone = await self.zone(base)
        if zone.status is Status.NXDOMAIN:
            return Answer(Status.NXDOMAIN, (), 300)
        for server in zone.healthy:
            if response := await self._ask(server.address, name, rdtype):
                answer = await self._read(response, name, rdtype)
                if answer.status is not Status.TEMPERROR:
                    return answer
        return UNKNOWN

    async def _find_zone(self, name: str) -> Zone:
        found = await self.resolver.query(name, "NS")
        if found.status is Status.TEMPERROR:
            return Zone(status=Status.TEMPERROR)
        if found.status is Status.OK:
            return await self._with_servers(name, [str(server) for server in found.rdata])
        parent = name.partition(".")[2]
        # A top-level domain holds what is registered in it: without a zone of its own, the name isn't.
        if "." not in parent:
            return Zone(status=Status.NXDOMAIN)
        return await self.zone(parent)

    async def _with_servers(self, apex: str, names: Sequence[str]) -> Zone:
        pairs: list[tuple[str, str]] = []
        for name in sorted(names):
            addresses = [str(one) for kind in ("A", "AAAA") for one in (await self.resolver.query(name, kind)).rdata]
            pairs += [(name, address) for address in addresses] or [(name, "")]
        servers = await asyncio.gather(*(self._examine(apex, *pair) for pair in pairs[:MAX_SERVERS]))
        return Zone(apex, tuple(servers))

    async def _examine(self, apex: str, name: str, address: str) -> Server:
        """Whether the server answers for the zone, and which version of it."""
        if not address:
            return Server(name, address, problem="has no address")
        if is_forbidden(address, self.allowed):
            return Server(name, address, problem=f"has the private address {address}, which nobody else can reach")
        response = await self._ask(address, apex, "SOA")
        if response is None:
            # Most hosts without IPv6 can't reach that half of the name servers, and need not.
            return Server(name, address, problem=f"does not answer at {address}")
        soa = response.get_rrset(response.answer, dns.name.from_text(apex), dns.rdataclass.IN, dns.rdatatype.SOA)
        if soa is None or not response.flags & dns.flags.AA:
            return Server(name, address, problem=f"at {address} does not hold the zone {apex}")
        return Server(name, address, soa[0].serial)

    async def _ask(self, address: str, name: str, rdtype: str) -> dns.message.Message | None:
        """What one server answers; None when it does not, or says that it can't."""
        try:
            query = dns.message.make_query(f"{name}.", rdtype, use_edns=0, payload=EDNS_OCTETS, flags=0)
        except dns.exception.DNSException:
            return None
        for _ in range(TRIES):
            self.questions += 1
            try:
                async with self._at_once:
                    response, _tcp = await dns.asyncquery.udp_with_fallback(
                        query, address, timeout=TRY_SECONDS, port=self.port, ignore_unexpected=True
                    )
            except (dns.exception.DNSException, OSError, EOFError):
                continue
            if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return response
        return None

    async def _read(self, response: dns.message.Message, name: str, rdtype: str) -> Answer:
        """The answer, through the CNAMEs that it holds; where these lead out of the zone, and where a part of the zone
        is delegated, the public resolver goes on."""
        owner, kind = dns.name.from_text(name), dns.rdatatype.from_text(rdtype)
        for _ in range(MAX_CHAIN):
            if found := _rrset(response, owner, kind):
                return Answer(Status.OK, tuple(rdata_value(rdata) for rdata in found), found.ttl)
            alias = _rrset(response, owner, dns.rdatatype.CNAME)
            if alias is None:
                break
            owner = alias[0].target
        target = owner.to_text(omit_final_dot=True).lower()
        if target != name:
            return await self.query(target, rdtype)
        if response.rcode() == dns.rcode.NXDOMAIN:
            return Answer(Status.NXDOMAIN, (), 300)
        if not response.flags & dns.flags.AA:
            return await self.resolver.query(name, rdtype)
        return Answer(Status.NODATA, (), 300)


def _rrset(
    response: dns.message.Message, owner: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    return response.get_rrset(response.answer, owner, dns.rdataclass.IN, kind)
