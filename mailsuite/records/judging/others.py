"""The records that mail works without: TLS on the way, what mail programs look for, CAA, BIMI."""

from collections.abc import Callable, Sequence

from mailsuite.mailauth.dns_record import Record
from mailsuite.mailauth.mtasts import PolicyError, find_id, policy_host
from mailsuite.records.judging.sides import Judge, change, publish
from mailsuite.records.seen import OK, Judgement, Verdict, hosts, octets, texts
from mailsuite.resolver.answers import Answer, Resolver, Status, Tlsa


def judge_alias(record: Record, addresses: Sequence[str]) -> Judge:
    """A CNAME, or addresses that are the host's."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        target = record.value.rstrip(".")
        if answer.status is Status.OK:
            name = hosts(answer)[0]
            return OK if name == target else change(record, f"{record.name} leads to {name}.")
        a, aaaa = await resolver.query(record.name, "A"), await resolver.query(record.name, "AAAA")
        found = {*hosts(a), *hosts(aaaa)}
        if not found:
            silent = Status.TEMPERROR in (a.status, aaaa.status)
            return Judgement(Verdict.UNKNOWN, "DNS did not answer; try again.") if silent else publish(record)
        ours = {*addresses, *hosts(await resolver.query(target, "A")), *hosts(await resolver.query(target, "AAAA"))}
        return OK if found <= ours else change(record, f"{record.name} is at {sorted(found - ours)[0]}, another host.")

    return judged


def judge_service(record: Record) -> Judge:
    """A judge of an SRV record by which mail programs find this host (RFC 6186)."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = [" ".join(text.lower().split()) for text in texts(answer, "SRV")]
        if not found:
            return publish(record)
        if record.value.lower() in found:
            return OK
        # Priority and weight are the administrator's to choose.
        if record.value.split()[2:] in [text.split()[2:] for text in found]:
            return OK
        return change(record, f"Mail programs are sent to {found[0].split()[-1]} port {found[0].split()[2]}.")

    return judged


def judge_mta_sts(record: Record, domain: str) -> Judge:
    """A judge of the record that says that there is an MTA-STS policy (RFC 8461 §3.1)."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        try:
            found = find_id(octets(answer))
        except PolicyError as error:
            return change(record, f"The MTA-STS record has a mistake: {error}.")
        if found is None:
            return publish(record)
        if f"id={found}" not in record.value:
            return change(record, "The policy has changed since this id was published: others keep the old policy.")
        host = policy_host(domain)
        found_there = [await resolver.query(host, kind) for kind in ("CNAME", "A", "AAAA")]
        if not any(one.status in (Status.OK, Status.TEMPERROR) for one in found_there):
            return Judgement(Verdict.FAILS, f"Senders look for the policy at {host}, which is not there: publish it.")
        return OK

    return judged


def judge_tls_reports(record: Record) -> Judge:
    """A judge of the record that asks for reports on TLS (RFC 8460 §3)."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = [text.decode("utf-8", "replace") for text in octets(answer) if text.startswith(b"v=TLSRPTv1")]
        if not found:
            return publish(record)
        if len(found) > 1:
            return change(record, f"There are {len(found)} TLSRPT records, and others then heed none: keep one.")
        rua = found[0].partition("rua=")[2]
        if not any(part.strip().lower().startswith(("mailto:", "https:")) for part in rua.split(",")):
            return change(record, "rua has neither mailto: nor https: in front of its address.")
        if record.value.partition("rua=")[2].lower() not in rua.lower():
            return Judgement(Verdict.WARN, "TLS reports go elsewhere: add our address to rua to have them read here.")
        return OK

    return judged


def judge_tlsa(record: Record, is_secure: Callable[[], bool | None], *, is_lasting: bool = True) -> Judge:
    """`is_secure` says whether the zone is signed and validated, None where our resolver can't tell; `is_lasting` that
    the key is not the first start's own."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        wanted = bytes.fromhex(record.value.split()[-1])
        found = [one for one in answer.rdata if isinstance(one, Tlsa)]
        if not found:
            text = "Only where the zone is signed with DNSSEC: publish" if is_secure() is False else "Publish"
            return Judgement(Verdict.MISSING, f"{text} {record.type} at {record.name}: {record.value}")
        if not any((one.usage, one.selector, one.matching_type, one.data) == (3, 1, 1, wanted) for one in found):
            if any(one.data == wanted for one in found):
                return change(record, "The three numbers before the digest are not 3 1 1, so that it fits no key.")
            return change(record, "The TLSA records there match another key, so that hosts with DANE send nothing.")
        if is_secure() is False:
            return Judgement(Verdict.WARN, "The zone is not signed with DNSSEC, so that nobody heeds TLSA: sign it.")
        if not is_lasting:
            return Judgement(
                Verdict.WARN,
                "The TLSA record names the key of the first start's certificate: take it away, and wait an hour, "
                "before you have a real certificate made, or hosts with DANE send nothing from then on.",
            )
        return OK

    return judged


def judge_ca(record: Record, ca: str, names: Sequence[str]) -> Judge:
    """`ca` issues this host's certificates, "" when that is not known; `names` are those that need to be in them."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        issuers = _issuers(answer)
        if issuers and ca and ca not in issuers:
            return change(record, f"CAA forbids {ca}, where this host's certificates come from, to issue the next one.")
        for name in names if ca else ():
            if where := await _forbidden_at(resolver, name, ca):
                text = (
                    f"CAA at {where} forbids {ca}, where this host's certificates come from, to issue one for {name}: "
                )
                return Judgement(Verdict.DIFFERS, f'{text}add CAA 0 issue "{ca}" at {where}')
        return OK if issuers else publish(record)

    return judged


async def _forbidden_at(resolver: Resolver, name: str, ca: str) -> str:
    """Where the CAA records that count for the name, the nearest ones above it (RFC 8659 §3), leave the authority out;
    "" where they do not."""
    at = name
    while "." in at:
        answer = await resolver.query(at, "CAA")
        if answer.rdata:
            issuers = _issuers(answer)
            return at if issuers and ca not in issuers else ""
        at = at.partition(".")[2]
    return ""


def _issuers(answer: Answer) -> list[str]:
    found = [text.lower() for text in texts(answer, "CAA")]
    return [text.partition('"')[2].split('"')[0].split(";")[0].strip() for text in found if " issue " in text]


def judge_logo(record: Record, is_strict: bool) -> Judge:
    """BIMI, where there is a record; `is_strict` says whether DMARC asks for quarantine or reject."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        text = next((text.decode(errors="replace") for text in octets(answer) if text.startswith(b"v=BIMI1")), "")
        place = text.partition("l=")[2].partition(";")[0].strip()
        if place and not (place.startswith("https://") and place.endswith((".svg", ".svg.gz"))):
            return Judgement(Verdict.WARN, "BIMI's l= must be the https: address of an SVG file.")
        if not is_strict:
            return Judgement(Verdict.WARN, "BIMI shows no logo until DMARC asks for quarantine or reject.")
        return OK

    return judged
