"""check_host() of RFC 7208 §4: one evaluation, with its limits (§4.6.4).

DNS is asked for one answer after the other, and only until something matches; how long that may take in all is the
caller's to say. A name that macros make ill-formed matches nothing (§4.8 leaves the choice).
"""

import time
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_pton

from mailsuite.mail.address import AddressError, normalize_domain
from mailsuite.mail.client_network import Address, client_ip
from mailsuite.mailauth.spf.macros import (
    EXPLANATION_LETTERS,
    MAX_NAME_OCTETS,
    MacroError,
    MacroString,
    expand,
    expand_name,
    letters_of,
    parse_macro_string,
)
from mailsuite.mailauth.spf.record import Mechanism, Record, RecordError, parse_record, spf_records
from mailsuite.resolver.answers import Answer, Mx, Resolver, Status

MAX_TERMS, MAX_VOIDS, MAX_MX_NAMES, MAX_PTR_NAMES = 10, 2, 10, 10
MAX_EXPLANATION = 500


@dataclass(frozen=True, slots=True)
class SpfOutcome:
    """`result` is none, neutral, pass, fail, softfail, temperror or permerror (RFC 7208 §2.6). `domain` is the one
    asked about, `mechanism` the term of its record that decided, "" where none did; `reason` says why, for people;
    `explanation` is the domain's own text for a fail, not to be trusted; `lookups` counts the terms that asked DNS."""

    result: str
    domain: str
    mechanism: str = ""
    reason: str = ""
    explanation: str = ""
    lookups: int = 0


async def check_host(
    resolver: Resolver,
    *,
    ip: str,
    domain: str,
    sender: str,
    helo: str,
    receiver: str = "",
    explain: bool = False,
    now: int | None = None,
) -> SpfOutcome:
    """Whether `domain` lets the host at `ip` send as `sender`; never raises.

    `sender` is the MAIL FROM address; for the HELO identity and the null reverse-path pass the HELO name as domain
    and "" as sender (§2.4). With `explain` a fail's text is looked up; `now` is Unix time for its %{t}.
    """
    address = client_ip(ip)
    if address is None:
        return SpfOutcome("none", domain, reason=f"{ip!r} is no IP address")
    name = _domain_name(_a_labels(domain))
    if name is None or "." not in name:
        return SpfOutcome("none", domain, reason=f"{domain[:80]!r} is no domain name that could have a record")
    run = _Evaluation(resolver, address, sender, name, helo, receiver or "unknown", now)
    try:
        found = await run.check(name)
    except _Stop as stop:
        return SpfOutcome(stop.result, name, stop.mechanism, stop.reason, "", run.terms)
    text = ""
    if found.result == "fail" and explain and found.explanation is not None:
        text = await run.explain(found.domain, found.explanation)
    return SpfOutcome(found.result, name, found.mechanism, found.reason, text, run.terms)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a record says. `explanation` is that of the record that `domain` holds: a redirect brings its own."""

    result: str
    domain: str
    mechanism: str
    reason: str
    explanation: MacroString | None = None


class _Stop(Exception):
    """The evaluation ends here, whatever else the records hold."""

    def __init__(self, result: str, reason: str, mechanism: str = "") -> None:
        self.result, self.reason, self.mechanism = result, reason, mechanism


class _Evaluation:
    """The state that include and redirect share: what was asked so far, and what macros stand for."""

    def __init__(
        self, resolver: Resolver, ip: Address, sender: str, domain: str, helo: str, receiver: str, now: int | None
    ) -> None:
        self._resolver, self._ip = resolver, ip
        local_part, at, sender_domain = sender.rpartition("@")
        if not at:
            local_part, sender_domain = "", sender or domain
        local_part = local_part or "postmaster"
        self._macros = {
            "s": f"{local_part}@{sender_domain}",
            "l": local_part,
            "o": _a_labels(sender_domain),
            "i": str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", "")),
            "h": helo,
            "v": "in-addr" if ip.version == 4 else "ip6",
            "c": str(ip),
            "r": receiver,
            "t": str(int(time.time()) if now is None else now),
        }
        self.terms = 0
        # For each term that found nothing, the hosts that are there, though without an address of the client's family.
        self._void_terms: list[list[str]] = []
        self._validated: list[str] | None = None

    async def check(self, domain: str) -> _Found:
        """What the domain's record says. Raises _Stop for errors, none included."""
        record = await self._record(domain)
        for mechanism in record.mechanisms:
            try:
                matches = await self._matches(mechanism, domain)
            except _Stop as stop:
                raise _Stop(stop.result, stop.reason, mechanism.text) from None
            if matches:
                reason = f"{mechanism.text} in the record of {domain} matches"
                return _Found(mechanism.result, domain, mechanism.text, reason, record.explanation)
        if record.redirect is not None:
            return await self._redirect(record.redirect, domain)
        return _Found("neutral", domain, "", f"nothing in the record of {domain} matches")

    async def explain(self, domain: str, domain_spec: MacroString) -> str:
        """The text that exp= leads to (§6.2), or "" when there is none that could be shown."""
        name = _domain_name(await self._expand_name(domain_spec, domain))
        answer = await self._resolver.query(name, "TXT") if name else Answer(Status.NXDOMAIN)
        texts = [text for text in answer.rdata if isinstance(text, bytes)]
        if len(texts) != 1 or not texts[0].isascii():
            return ""
        try:
            parts = parse_macro_string(texts[0].decode("ascii"), EXPLANATION_LETTERS)
        except MacroError:
            return ""
        text = expand(parts, await self._values(parts, domain))
        return text[:MAX_EXPLANATION] if text.isascii() and text.isprintable() else ""

    async def _record(self, domain: str) -> Record:
        answer = await self._resolver.query(domain, "TXT")
        if answer.status is Status.TEMPERROR:
            raise _Stop("temperror", f"DNS gives no answer about {domain}")
        records = spf_records(answer.rdata)
        if not records:
            raise _Stop("none", f"{domain} publishes no SPF record")
        if len(records) > 1:
            raise _Stop("permerror", f"{domain} publishes {len(records)} SPF records")
        try:
            return parse_record(records[0])
        except RecordError as error:
            raise _Stop("permerror", f"the record of {domain} is broken: {error}") from None

    async def _redirect(self, domain_spec: MacroString, domain: str) -> _Found:
        self._count_term()
        name = _domain_name(await self._expand_name(domain_spec, domain))
        if name is None:
            raise _Stop("permerror", f"the redirect of {domain} leads to no domain", "redirect")
        try:
            return await self.check(name)
        except _Stop as stop:
            result = "permerror" if stop.result == "none" else stop.result
            raise _Stop(result, stop.reason, stop.mechanism or f"redirect={name}") from None

    async def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        if mechanism.name == "all":
            return True
        if mechanism.network is not None:
            return self._ip in mechanism.network
        self._count_term()
        spec = mechanism.domain_spec
        name = domain if spec is None else _domain_name(await self._expand_name(spec, domain))
        if name is None:
            if mechanism.name == "include":
                raise _Stop("permerror", "the include leads to no domain")
            return False
        match mechanism.name:
            case "include":
                return await self._includes(name)
            case "a":
                return await self._is_one_of([name], mechanism)
            case "mx":
                return await self._is_exchange(name, mechanism)
            case "exists":
                return await self._exists(name)
        return any(_is_within(one, name) for one in await self._validated_names())

    async def _includes(self, name: str) -> bool:
        try:
            return (await self.check(name)).result == "pass"
        except _Stop as stop:
            raise _Stop("permerror" if stop.result == "none" else stop.result, stop.reason) from None

    async def _is_exchange(self, name: str, mechanism: Mechanism) -> bool:
        exchanges = [mx for mx in (await self._ask(name, "MX")).rdata if isinstance(mx, Mx)]
        if len(exchanges) > MAX_MX_NAMES:
            raise _Stop("permerror", f"{name} has more than {MAX_MX_NAMES} MX records")
        if not exchanges:
            await self._count_void([])
        ordered = sorted(exchanges, key=lambda one: (one.preference, one.exchange))
        return await self._is_one_of([mx.exchange for mx in ordered if mx.exchange], mechanism)

    async def _is_one_of(self, hosts: list[str], mechanism: Mechanism) -> bool:
        """Whether the client has an address of one of the hosts, which are asked about until one fits."""
        found, others = False, list[str]()
        for host in hosts:
            answer = await self._ask(host, "A" if self._ip.version == 4 else "AAAA")
            if self._is_among([one for one in answer.rdata if isinstance(one, str)], mechanism):
                return True
            found = found or bool(answer.rdata)
            if answer.status is Status.NODATA:
                others.append(host)
        if hosts and not found:
            await self._count_void(others)
        return False

    async def _exists(self, name: str) -> bool:
        answer = await self._ask(name, "A")
        if not answer.rdata:
            await self._count_void([])
        return bool(answer.rdata)

    def _is_among(self, addresses: list[str], mechanism: Mechanism) -> bool:
        prefix = mechanism.prefix4 if self._ip.version == 4 else mechanism.prefix6
        # As numbers: ten names of ten mx may have thousands of addresses, and objects are slow to make.
        family = AF_INET if self._ip.version == 4 else AF_INET6
        host_bits = self._ip.max_prefixlen - prefix
        network = int(self._ip) >> host_bits
        return any(int.from_bytes(inet_pton(family, address)) >> host_bits == network for address in addresses)

    async def _ask(self, name: str, rdtype: str) -> Answer:
        answer = await self._resolver.query(name, rdtype)
        if answer.status is Status.TEMPERROR:
            raise _Stop("temperror", f"DNS gives no answer about {name} {rdtype}")
        return answer

    async def _count_void(self, others: list[str]) -> None:
        """Counts a term whose look-ups found nothing (§4.6.4 limits such terms, not questions). A host of `others` that
        has addresses of the other family is not nothing; that is asked only where the result hangs on it."""
        self._void_terms.append(others)
        if len(self._void_terms) > MAX_VOIDS:
            self._void_terms = [[] for hosts in self._void_terms if not await self._any_has_addresses(hosts)]
        if len(self._void_terms) > MAX_VOIDS:
            raise _Stop("permerror", f"more than {MAX_VOIDS} terms ask DNS for what is not there")

    async def _any_has_addresses(self, hosts: list[str]) -> bool:
        """Whether one of the hosts has an address of the family that is not the client's, as far as DNS tells now."""
        for host in hosts:
            answer = await self._resolver.query(host, "AAAA" if self._ip.version == 4 else "A")
            if answer.rdata or answer.status is Status.TEMPERROR:
                return True
        return False

    def _count_term(self) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise _Stop("permerror", f"more than {MAX_TERMS} terms ask DNS")

    async def _validated_names(self) -> list[str]:
        """The client's names that lead back to it (§5.5); what DNS does not tell of is left out.

        None of it counts as void: the client owns these names, and would turn its fail into a permerror by them.
        """
        if self._validated is None:
            self._validated = []
            answer = await self._resolver.query(self._ip.reverse_pointer, "PTR")
            for name in [name for name in answer.rdata if isinstance(name, str)][:MAX_PTR_NAMES]:
                found = await self._resolver.query(name, "A" if self._ip.version == 4 else "AAAA")
                if any(isinstance(one, str) and ip_address(one) == self._ip for one in found.rdata):
                    self._validated.append(name.lower())
        return self._validated

    async def _expand_name(self, domain_spec: MacroString, domain: str) -> str:
        return expand_name(domain_spec, await self._values(domain_spec, domain))

    async def _values(self, parts: MacroString, domain: str) -> dict[str, str]:
        values = self._macros | {"d": domain}
        if "p" in letters_of(parts):
            values["p"] = _preferred(await self._validated_names(), domain)
        return values


def _preferred(names: list[str], domain: str) -> str:
    """Which of the validated names %{p} stands for (§7.3): the domain itself, else one within it, else any."""
    if domain in names:
        return domain
    within = [name for name in names if _is_within(name, domain)]
    return (within or names or ["unknown"])[0]


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _domain_name(text: str) -> str | None:
    """The text as a name that DNS can be asked for (§4.3), in lower case without its last dot; None for any other."""
    name = text.removesuffix(".").lower()
    is_named = all(0 < len(label) <= 63 for label in name.split(".")) and len(name) <= MAX_NAME_OCTETS
    # RFC 8616 §4: a local-part beyond ASCII makes names that never match.
    return name if is_named and name.isascii() and not name.startswith("[") else None


def _a_labels(text: str) -> str:
    """The name as A-labels if it has others and they can be, else as it is."""
    try:
        return text if text.isascii() else normalize_domain(text, allow_underscores=True)
    except AddressError:
        return text
