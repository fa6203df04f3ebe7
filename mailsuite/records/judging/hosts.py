"""MX, addresses and reverse DNS: whether mail finds this host, and others believe its name."""

from collections.abc import Sequence
from ipaddress import ip_address

from mailsuite.mailauth.dns_record import Record
from mailsuite.mailauth.iprev import is_generic
from mailsuite.records.judging.sides import Judge, change, publish
from mailsuite.records.planning import NO_MAIL, Setup
from mailsuite.records.seen import LONG_TTL, OK, Judgement, Verdict, hosts
from mailsuite.resolver.answers import Answer, Mx, Resolver, Status


def judge_mx(record: Record, setup: Setup) -> Judge:
    """A judge of the domain's MX records (RFC 5321 §5.1, RFC 7505)."""
    host = setup.host

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = sorted((one for one in answer.rdata if isinstance(one, Mx)), key=lambda one: one.preference)
        if record.value == NO_MAIL:
            return _null(record, found)
        if not found:
            return publish(record)
        names = [one.exchange for one in found]
        if "" in names:
            return change(record, "The MX record says that the domain takes no mail (null MX).")
        if wrong := next((name for name in names if _is_address(name)), ""):
            return change(record, f"MX names the address {wrong}, where a host's name must stand.")
        if host not in names:
            return change(record, f"Mail goes to {', '.join(names[:3])}, not to this host.")
        return await _targets(record, found, setup, resolver) or _slow(record, answer)

    return judged


def judge_address(record: Record, allowed: Sequence[str]) -> Judge:
    """`allowed` are all the addresses of the host."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = [address for address in hosts(answer) if _is_address(address)]
        if not found:
            other = await resolver.query(record.name, "AAAA") if not record.value else answer
            return OK if other.rdata else publish(record)
        if private := [address for address in found if not ip_address(address).is_global and address not in allowed]:
            return change(record, f"{record.name} is at the private address {private[0]}, which nobody else can reach.")
        if record.value and record.value not in found:
            return change(record, f"{record.name} is at {', '.join(sorted(found)[:3])}.")
        return _slow(record, answer)

    return judged


def judge_ptr(record: Record, address: str, ours: Sequence[str]) -> Judge:
    """`ours` are all the addresses of the host."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        names, host = hosts(answer), record.value.rstrip(".")
        ask = f"ask whoever gives you {address} to name it {host}"
        if not names:
            other = _other_family(address, ours)
            meanwhile = f" Until then mail goes out by {other} wherever it can." if other else ""
            return Judgement(Verdict.MISSING, f"No reverse DNS, which makes many hosts refuse mail: {ask}.{meanwhile}")
        if host not in names:
            generic = is_generic(names[0], ip_address(address))
            what = "the generic name" if generic else "the name"
            return Judgement(Verdict.DIFFERS, f"Reverse DNS gives {address} {what} {names[0]}: {ask}.")
        if len(names) > 1:
            return Judgement(Verdict.WARN, f"{address} has {len(names)} names in reverse DNS: keep {host} alone.")
        kind = "A" if ip_address(address).version == 4 else "AAAA"
        forward = await resolver.query(host, kind)
        if forward.status is Status.TEMPERROR or address in hosts(forward):
            return OK
        return Judgement(Verdict.DIFFERS, f"{host} does not lead back to {address}: publish {kind} {address} for it.")

    return judged


def _other_family(address: str, ours: Sequence[str]) -> str:
    """The family that the host has an address of besides this one's (smtpd_service.outbound.way_out); "" for none."""
    versions = {ip_address(one).version for one in ours} - {ip_address(address).version}
    return f"IPv{versions.pop()}" if versions else ""


async def _targets(record: Record, found: Sequence[Mx], setup: Setup, resolver: Resolver) -> Judgement | None:
    host, policy = setup.host, setup.policy
    for name in [one.exchange for one in found][:10]:
        alias = await resolver.query(name, "CNAME")
        if alias.status is Status.OK:
            return change(record, f"MX leads to {name}, which is only another name (CNAME) of {hosts(alias)[0]}.")
        a, aaaa = await resolver.query(name, "A"), await resolver.query(name, "AAAA")
        addresses = (*hosts(a), *hosts(aaaa))
        if name != host and addresses and not any(ip_address(address).is_global for address in addresses):
            return change(record, f"MX leads to {name} at the private address {addresses[0]}, which nobody can reach.")
        if not addresses and Status.TEMPERROR not in (a.status, aaaa.status):
            return change(record, f"MX leads to {name}, which has no address.") if name != host else None
    others = [one.exchange for one in found if one.exchange != host]
    if others and found[0].exchange != host:
        return Judgement(Verdict.WARN, f"Mail goes to {others[0]} first: give this host the lowest number.")
    if unnamed := [name for name in others if policy is None or not policy.allows(name)]:
        return Judgement(
            Verdict.WARN,
            f"{unnamed[0]} takes mail too, which the MTA-STS policy does not name: take it out of MX, or name it "
            "in the policy (MTA-STS policies, Further mail hosts).",
        )
    return None


def _null(record: Record, found: Sequence[Mx]) -> Judgement:
    if not found:
        return publish(record)
    if [one.exchange for one in found] == [""]:
        return OK
    return change(record, "The domain is parked, yet its MX says that it takes mail.")


def _slow(record: Record, answer: Answer) -> Judgement:
    if answer.ttl <= LONG_TTL:
        return OK
    return Judgement(
        Verdict.WARN, f"Others remember it for {answer.ttl // 86_400} days: lower its TTL before you move anything."
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
