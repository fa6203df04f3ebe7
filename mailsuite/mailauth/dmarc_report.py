"""DMARC aggregate reports (RFC 9990; RFC 7489 appendix C) as plain values, and writing them.

Reading is in dmarc_report_reader. Texts that came from strangers are escaped, and cut to what a report has room for.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
MAX_SIGNATURES = 100

DISPOSITIONS = ("none", "pass", "quarantine", "reject")
DKIM_RESULTS = ("none", "pass", "fail", "policy", "neutral", "temperror", "permerror")
SPF_RESULTS = ("none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")
OVERRIDES = ("local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder")
# What XML 1.0 has no way to write, escaped or not.
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class PolicyPublished:
    """The record as the reporter saw it (RFC 9990 §3.1.1.5); "" for what it did not tell."""

    domain: str
    p: str = "none"
    sp: str = ""
    np: str = ""
    adkim: str = ""
    aspf: str = ""
    fo: str = ""
    testing: str = ""
    discovery_method: str = ""
    pct: str = ""


@dataclass(frozen=True, slots=True)
class ReportHead:
    """Who reports on what and when (RFC 9990 §3.1.1.3)."""

    org_name: str
    email: str
    report_id: str
    begins_at: datetime
    ends_at: datetime
    policy: PolicyPublished
    extra_contact_info: str = ""
    errors: tuple[str, ...] = ()
    generator: str = ""


@dataclass(frozen=True, slots=True)
class DkimResult:
    domain: str
    selector: str
    result: str
    human_result: str = ""


@dataclass(frozen=True, slots=True)
class SpfResult:
    domain: str
    result: str
    scope: str = "mfrom"
    human_result: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the policy was not followed (RFC 9990 §3.1.6); `type` is in its words, or RFC 7489's."""

    type: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """So many messages from one address with the same results. `dkim_aligned` and `spf_aligned` are DMARC's own
    results; `dkim` and `spf` are the checks' (RFC 9990 §3.1.1.11)."""

    source_ip: str
    count: int
    disposition: str
    dkim_aligned: bool
    spf_aligned: bool
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    dkim: tuple[DkimResult, ...] = ()
    spf: tuple[SpfResult, ...] = ()


def build_report(head: ReportHead, records: Iterable[Record]) -> bytes:
    """The report as XML (RFC 9990 §3.1.1), elements in the order of its tables; at least one record is required."""
    return "\n".join(_feedback(head, records)).encode() + b"\n"


def _feedback(head: ReportHead, records: Iterable[Record]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<feedback xmlns="{NAMESPACE}">'
    yield "<version>1.0</version>"
    yield "<report_metadata>"
    yield _element("org_name", head.org_name)
    yield _element("email", head.email)
    yield from _optional("extra_contact_info", head.extra_contact_info)
    yield _element("report_id", head.report_id)
    begin, end = int(head.begins_at.timestamp()), int(head.ends_at.timestamp())
    yield f"<date_range><begin>{begin}</begin><end>{end}</end></date_range>"
    yield from _optional("error", "; ".join(head.errors))
    yield from _optional("generator", head.generator)
    yield "</report_metadata>"
    yield "<policy_published>"
    yield from _policy(head.policy)
    yield "</policy_published>"
    for record in records:
        yield from _record(record)
    yield "</feedback>"


def _policy(policy: PolicyPublished) -> Iterator[str]:
    yield _element("domain", policy.domain)
    yield from _optional("discovery_method", policy.discovery_method)
    yield _element("p", policy.p)
    for name in ("sp", "np", "fo", "adkim", "aspf", "testing"):
        yield from _optional(name, getattr(policy, name))


def _record(record: Record) -> Iterator[str]:
    yield "<record><row>"
    yield _element("source_ip", record.source_ip)
    yield _element("count", str(record.count))
    yield "<policy_evaluated>"
    yield _element("disposition", record.disposition)
    yield _element("dkim", "pass" if record.dkim_aligned else "fail")
    yield _element("spf", "pass" if record.spf_aligned else "fail")
    for reason in record.reasons:
        yield f"<reason>{_element('type', reason.type)}{''.join(_optional('comment', reason.comment))}</reason>"
    yield "</policy_evaluated></row><identifiers>"
    yield _element("header_from", record.header_from)
    # Empty for a null reverse-path (RFC 9990 §3.1.1.10).
    yield _element("envelope_from", record.envelope_from)
    yield from _optional("envelope_to", record.envelope_to)
    yield "</identifiers><auth_results>"
    for dkim in record.dkim[:MAX_SIGNATURES]:
        texts = [_element("domain", dkim.domain), _element("selector", dkim.selector), _element("result", dkim.result)]
        yield f"<dkim>{''.join(texts)}{''.join(_optional('human_result', dkim.human_result))}</dkim>"
    for spf in record.spf[:1]:
        texts = [_element("domain", spf.domain), _element("scope", spf.scope), _element("result", spf.result)]
        yield f"<spf>{''.join(texts)}{''.join(_optional('human_result', spf.human_result))}</spf>"
    yield "</auth_results></record>"


def _optional(name: str, text: str) -> list[str]:
    return [_element(name, text)] if text else []


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_UNWRITABLE.sub(' ', text[:1000]))}</{name}>"
