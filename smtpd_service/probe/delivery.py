"""A live delivery test: everything that mail to an address goes through, told as it happens, short of sending any.

`probe_delivery` looks up where mail goes and what TLS the domain demands, then asks each mail host as `HostProbe` does:
connection, greeting, EHLO, STARTTLS, certificate, MAIL and RCPT, then RSET and QUIT. It is bounded in hosts and time,
dials no address that mail would not be sent to, and raises nothing for what a host or the DNS does.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby

from mailsuite.mail.address import Address, AddressError, parse_address, read_domain
from mailsuite.mail.client_network import Network
from mailsuite.mailauth.dane import State
from mailsuite.mailauth.mtasts import Mode
from mailsuite.resolver.answers import Mx, Resolver
from mailsuite.transport_security.policies import Sts
from smtpd_service.outbound.destinations import SMTP_PORT, Destinations, NextHop
from smtpd_service.outbound.published_policy import Judgement, PublishedPolicy
from smtpd_service.outbound.routing import RouteFacts, Unroutable, find_route, literal_address
from smtpd_service.outbound.tls_policy import TlsDemand, demand_of_route
from smtpd_service.outbound.transaction import Login
from smtpd_service.outbound.transport import Endpoint
from smtpd_service.outbound.way_out import WayOut
from smtpd_service.probe.host import HostProbe
from smtpd_service.probe.stage import TITLES, Stage, Tone

MAX_HOSTS = 4
MAX_ADDRESSES = 2
TOTAL_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a test works with. `reverse_path` is who asks; `why_no_dane` tells why DANE is off, "" where it is on;
    `context` checks certificates, by the system's authorities unless given; `here` tells the stages for an address that
    is hosted here, none for others."""

    resolver: Resolver
    policy: PublishedPolicy
    helo: str
    reverse_path: str
    own_names: Collection[str]
    allowed: Sequence[Network]
    routes: Sequence[RouteFacts] = ()
    why_no_dane: str = ""
    port: int = SMTP_PORT
    way_out: WayOut = WayOut()
    context: ssl.SSLContext | None = None
    total_seconds: float = TOTAL_SECONDS
    here: Callable[[Address], Awaitable[Sequence[Stage]]] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """`recipient` is who RCPT names: postmaster, whom every domain must have, where only the domain was given."""

    domain: str
    recipient: str

    @property
    def address(self) -> Address:
        return parse_address(self.recipient)


async def probe_delivery(text: str, tools: Tools) -> AsyncGenerator[Stage, None]:
    """The stages of a test of an address or a domain. The last one is named `result`."""
    ends_at = asyncio.get_running_loop().time() + tools.total_seconds
    try:
        target = read_target(text)
    except AddressError as error:
        yield _stage("address", Tone.BAD, f"{text[:100]!r} is neither an address nor a domain: {error}.")
        yield _result([], Tone.BAD, "There was nothing to test.")
        return
    if tools.here and not literal_address(target.domain) and (here := await tools.here(target.address)):
        for stage in here:
            yield stage
        return
    route = find_route(target.domain, tools.routes)
    destinations = Destinations(
        tools.resolver, tools.own_names, tools.allowed, port=tools.port, way_out=lambda: tools.way_out
    )
    clock = _Clock()
    endpoints = await destinations.endpoints(NextHop(target.domain, route))
    yield await _where(target, route, endpoints, tools, clock.lap())
    if isinstance(endpoints, Unroutable):
        comes_back = "would come back" if endpoints.is_permanent else "would wait in the queue"
        yield _result([], Tone.BAD, f"Mail to {target.recipient} {comes_back}: {endpoints.text}.")
        return
    last: list[Stage] = []
    by_host = [list(found) for _, found in groupby(endpoints, key=lambda endpoint: endpoint.host)]
    for number, host in enumerate(by_host[:MAX_HOSTS]):
        judgement = None if route else await tools.policy.judge(target.domain, host[0].host)
        if judgement:
            for stage in _demands(judgement, host[0].host, tools, first=number == 0, milliseconds=clock.lap()):
                yield stage
        demand = judgement.demand if judgement else demand_of_route(route)  # type: ignore[arg-type]
        async with aclosing(_host(host, demand, target, tools, route, ends_at)) as stages:
            async for stage in stages:
                if stage.name == "end":
                    last.append(stage)
                else:
                    yield stage
        clock.lap()
    if len(by_host) > MAX_HOSTS:
        yield _stage("mx", Tone.NOTE, f"{len(by_host) - MAX_HOSTS} more mail hosts were not asked.")
    yield _conclusion(target, last)


def read_target(text: str) -> Target:
    """What is to be tested. Raises AddressError."""
    text = text.strip().removeprefix("mailto:")
    if "@" in text:
        address = parse_address(text)
        return Target(address.domain, str(address))
    domain = text if literal_address(text) else read_domain(text)
    return Target(domain, f"postmaster@{domain}")


async def _where(
    target: Target,
    route: RouteFacts | None,
    endpoints: Sequence[Endpoint] | Unroutable,
    tools: Tools,
    milliseconds: int,
) -> Stage:
    if isinstance(endpoints, Unroutable):
        tone = Tone.BAD if endpoints.is_permanent else Tone.WARNING
        return _stage("mx", tone, f"There is no host to send to: {endpoints.text}.", milliseconds=milliseconds)
    shown = tuple(str(endpoint) for endpoint in endpoints)
    if route:
        text = f"A route of this host sends mail for {target.domain} to {route.host}, whatever the DNS says."
        return _stage("route", Tone.NOTE, text, shown, milliseconds)
    if literal_address(target.domain):
        return _stage("mx", Tone.NOTE, "An address literal needs no DNS.", shown, milliseconds)
    mx = await tools.resolver.query(target.domain, "MX")
    records = [record for record in mx.rdata if isinstance(record, Mx)]
    signed = " The answer is signed (DNSSEC)." if mx.secure else ""
    if not records:
        text = f"{target.domain} has no MX records: the domain itself is the mail host (RFC 5321 §5.1).{signed}"
        return _stage("mx", Tone.WARNING, text, shown, milliseconds)
    listed = tuple(f"MX {record.preference} {record.exchange}" for record in sorted(records, key=_preference))
    missing = {record.exchange for record in records} - {endpoint.host for endpoint in endpoints}
    text = f"The DNS names {len(records)} mail host{'s' * (len(records) > 1)}.{signed}"
    if missing:
        text += f" {', '.join(sorted(missing)[:3])}: no address that mail may be sent to."
    return _stage("mx", Tone.WARNING if missing else Tone.GOOD, text, listed + shown, milliseconds)


def _preference(record: Mx) -> int:
    return record.preference


def _demands(judgement: Judgement, host: str, tools: Tools, *, first: bool, milliseconds: int) -> list[Stage]:
    """What the domain says about TLS, and what follows for this host."""
    stages = []
    if judgement.sts and first:
        stages.append(_sts(judgement.sts, milliseconds))
    found = judgement.dane
    if found is None:
        if first:
            why = tools.why_no_dane or "mail goes to an address, not to a name"
            stages.append(_stage("dane", Tone.NOTE, f"DANE is not looked at: {why}."))
    else:
        tones = {State.USABLE: Tone.GOOD, State.UNUSABLE: Tone.WARNING, State.FAILED: Tone.BAD, State.NONE: Tone.NOTE}
        text = f"{found.reason[:1].upper()}{found.reason[1:]}: {found.state.value}."
        stages.append(_stage("dane", tones[found.state], text, milliseconds=milliseconds, host=host))
    if judgement.demand.refusal:
        return [*stages, _stage("policy", Tone.BAD, f"{judgement.demand.refusal.text}.", host=host)]
    rule = judgement.demand.rule
    if judgement.rule == "opportunistic":
        return [*stages, _stage("policy", Tone.NOTE, f"{rule[:1].upper()}{rule[1:]}.", host=host)]
    text = f"{rule[:1].upper()}{rule[1:]}; without that mail waits in the queue."
    return [*stages, _stage("policy", Tone.GOOD, text, host=host)]


def _sts(sts: Sts, milliseconds: int) -> Stage:
    policy = sts.policy
    if policy is None:
        tone = Tone.WARNING if sts.failure else Tone.NOTE
        return _stage("sts", tone, f"No MTA-STS policy: {sts.text}.", milliseconds=milliseconds)
    lines = (f"mode: {policy.mode.value}", *(f"mx: {one}" for one in policy.mx), f"max_age: {policy.max_age}")
    words = {
        Mode.ENFORCE: "Mail hosts must be among those named and have good certificates",
        Mode.TESTING: "Senders deliver whatever they find, and report what did not fit",
        Mode.NONE: "The domain has taken its policy back",
    }
    tone = Tone.GOOD if policy.mode is Mode.ENFORCE else Tone.NOTE
    text = f"{words[policy.mode]} (mode {policy.mode.value}); {sts.text}."
    return _stage("sts", Tone.WARNING if sts.failure else tone, text, lines, milliseconds)


async def _host(
    endpoints: Sequence[Endpoint],
    demand: TlsDemand,
    target: Target,
    tools: Tools,
    route: RouteFacts | None,
    ends_at: float,
) -> AsyncGenerator[Stage, None]:
    """A host by its first address that answers; ends with a stage `end` for the conclusion."""
    if demand.refusal:
        yield Stage("end", "", Tone.BAD, demand.refusal.text, endpoints[0].host)
        return
    for endpoint in endpoints[:MAX_ADDRESSES]:
        if asyncio.get_running_loop().time() >= ends_at:
            yield Stage("end", "", Tone.WARNING, "the test's time was over", endpoint.host)
            return
        test = HostProbe(
            endpoint,
            demand,
            helo=tools.helo,
            reverse_path=tools.reverse_path,
            recipient=target.recipient,
            login=Login(route.username, route.password) if route and route.username else None,
            allowed=None if route else tools.allowed,
            ends_at=ends_at,
            context=tools.context,
        )
        async with aclosing(test.run()) as stages:
            async for stage in stages:
                yield stage
        if test.was_reached:
            break
    yield Stage("end", "", test.tone, test.conclusion, test.endpoint.host)


def _conclusion(target: Target, ends: Sequence[Stage]) -> Stage:
    """What would become of mail, from the ends of all hosts: the first that takes it decides."""
    lines = tuple(f"{end.host}: {end.text}" for end in ends)
    taken = next((end for end in ends if end.tone in (Tone.GOOD, Tone.NOTE)), None)
    if taken:
        tone = Tone.GOOD if all(end.tone in (Tone.GOOD, Tone.NOTE) for end in ends) else Tone.WARNING
        note = "" if tone is Tone.GOOD else " Not every mail host would take it."
        return _result(lines, tone, f"Mail to {target.recipient} would be taken by {taken.host}.{note}")
    if ends and all(end.tone is Tone.WARNING for end in ends):
        text = f"Mail to {target.recipient} would wait in the queue and be tried again."
        return _result(lines, Tone.WARNING, text)
    return _result(lines, Tone.BAD, f"Mail to {target.recipient} would not get through now.")


def _stage(
    name: str, tone: Tone, text: str, details: tuple[str, ...] = (), milliseconds: int = 0, *, host: str = ""
) -> Stage:
    return Stage(name, TITLES[name], tone, text, host, details, milliseconds)


def _result(lines: Sequence[str], tone: Tone, text: str) -> Stage:
    return _stage("result", tone, text, tuple(lines))


class _Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def lap(self) -> int:
        now = time.monotonic()
        milliseconds, self._at = round((now - self._at) * 1000), now
        return milliseconds
