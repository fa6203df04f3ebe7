"""All findings of a domain: each record by the judge of its kind, and what is wrong with the zone itself."""

import asyncio
from ipaddress import ip_address

from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.records.judging import dkim, dmarc, hosts, others, spf
from mailsuite.records.judging.sides import Judge, find, publish
from mailsuite.records.judging.zone import zone_findings
from mailsuite.records.planning import Setup, records_of
from mailsuite.records.seen import OK, Finding, Judgement, Verdict, View, texts
from mailsuite.resolver.answers import Answer, Resolver, Status


async def judge_all(setup: Setup, view: View) -> list[Finding]:
    """A finding for each record to publish, in their order, and one for each further thing that is amiss."""
    records = records_of(setup)
    secure = await _security(view, setup.host) if setup.tlsa else None
    findings = await asyncio.gather(*(_find(view, one, setup, secure) for one in records))
    extra = await asyncio.gather(zone_findings(setup, view), _logo(setup, view), _consents(setup, view))
    return [*findings, *(finding for group in extra for finding in group)]


async def _find(view: View, record: Record, setup: Setup, secure: bool | None) -> Finding:
    if setup.host_problem and record.name == setup.host:
        # Whatever DNS says of a name that is nobody's: it is not this host that it leads to.
        return Finding(record, Verdict.MISSING, setup.host_problem)
    return await find(view, record, _judge(record, setup, secure))


def _judge(record: Record, setup: Setup, secure: bool | None) -> Judge:
    """The judge for a record, chosen by what it is."""
    ours = setup.addresses
    match record.type, record.value[:8].lower():
        case "MX", _:
            return hosts.judge_mx(record, setup)
        case "TXT", "v=spf1 m" | "v=spf1 a":
            return spf.judge(record, ours)
        case "TXT", "v=spf1 -":
            return spf.judge(record, ())
        case "TXT", "v=dkim1;":
            return dkim.judge(record, tuple(key.selector for key in setup.keys))
        case "TXT", "v=dmarc1" if "._report._dmarc." in record.name:
            return dmarc.judge_consent(record, setup)
        case "TXT", "v=dmarc1":
            return dmarc.judge(record, setup)
        case "TXT", "v=stsv1;":
            return others.judge_mta_sts(record, setup.domain)
        case "TXT", "v=tlsrpt":
            return others.judge_tls_reports(record)
        case (("A" | "AAAA"), _):
            return hosts.judge_address(record, ours)
        case "PTR", _:
            return hosts.judge_ptr(record, next(one for one in ours if record.name == _reverse(one)), ours)
        case "CNAME", _:
            return others.judge_alias(record, ours)
        case "SRV", _:
            return others.judge_service(record)
        case "TLSA", _:
            return others.judge_tlsa(record, lambda: secure, is_lasting=setup.has_lasting_key)
        case "CAA", _:
            return others.judge_ca(record, setup.ca, (setup.host, *_web_names(setup)))
    return _judge_plainly(record)


def _judge_plainly(record: Record) -> Judge:
    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        return OK if record.value.lower() in [text.lower() for text in texts(answer, record.type)] else publish(record)

    return judged


async def _security(view: View, host: str) -> bool | None:
    """Whether the host's zone is signed; None where the resolver does not validate, which the root tells."""
    root, answer = await view.public.query(".", "NS"), await view.public.query(host, "A")
    if not root.secure or answer.status is Status.TEMPERROR:
        return None
    return answer.secure


async def _consents(setup: Setup, view: View) -> list[Finding]:
    """What other domains have to publish, so that reports about this one reach them."""
    records = await dmarc.consents(setup, view.own)
    return [await find(view, record, dmarc.judge_consent(record, setup)) for record in records]


async def _logo(setup: Setup, view: View) -> list[Finding]:
    record = Record(
        "TXT", f"default._bimi.{setup.domain}", "", "BIMI: the logo that some programs show.", False, Purpose.SENDING
    )
    if not any(text.startswith("v=BIMI1") for text in texts(await view.own.query(record.name, "TXT"), "TXT")):
        return []
    is_strict = setup.dmarc_stage in ("quarantine", "reject-trial", "reject")
    return [await find(view, record, others.judge_logo(record, is_strict))]


def _web_names(setup: Setup) -> list[str]:
    """The names that need certificates beside the host's own."""
    return [record.name for record in records_of(setup) if record.type == "CNAME"]


def _reverse(address: str) -> str:
    return ip_address(address).reverse_pointer
