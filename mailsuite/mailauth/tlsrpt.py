"""TLS reports (RFC 8460): the record that asks for them, written, and the report itself, read.

A report tells, for one day and one policy domain, how many sessions were under TLS as the domain's policy wants, and
which failed how. What others sent is read with limits: it may be anybody's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from mailsuite.mailauth.report_file import ReportError

MAX_POLICIES = 1000
MAX_DETAILS = 10_000
MAX_TEXT = 1000
MAX_COUNT = 2**53


class ResultType(Enum):
    """How a session failed (RFC 8460 §4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"

    @property
    def meaning(self) -> str:
        """One plain sentence for people."""
        return _MEANINGS[self]


_MEANINGS = {
    ResultType.STARTTLS_NOT_SUPPORTED: "The mail host did not offer TLS.",
    ResultType.CERTIFICATE_HOST_MISMATCH: "The mail host's certificate names other hosts.",
    ResultType.CERTIFICATE_EXPIRED: "The mail host's certificate had run out.",
    ResultType.CERTIFICATE_NOT_TRUSTED: "The mail host's certificate comes from nobody the sender trusts.",
    ResultType.VALIDATION_FAILURE: "TLS failed for another reason.",
    ResultType.TLSA_INVALID: "No TLSA record matched the certificate, or none was usable.",
    ResultType.DNSSEC_INVALID: "DNSSEC signatures of the domain or its mail host could not be verified.",
    ResultType.DANE_REQUIRED: "The sender insists on DANE, and the mail host has no TLSA records.",
    ResultType.STS_POLICY_FETCH_ERROR: "The MTA-STS policy could not be fetched.",
    ResultType.STS_POLICY_INVALID: "The MTA-STS policy is malformed.",
    ResultType.STS_WEBPKI_INVALID: "The web server of the MTA-STS policy has a bad certificate.",
}


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """`result` is a ResultType's value, or what a newer RFC calls it; `sessions` how many failed so."""

    result: str
    sessions: int
    sending_ip: str = ""
    receiving_host: str = ""
    receiving_helo: str = ""
    receiving_ip: str = ""
    information: str = ""
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What came of one policy: `strings` are its lines or TLSA records, `mx` its mail hosts."""

    type: str
    domain: str
    strings: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    successful: int = 0
    failed: int = 0
    failures: tuple[FailureDetails, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """`begin` and `end` are aware, UTC; a day from 00:00 on (§4.1)."""

    organization: str
    report_id: str
    begin: datetime
    end: datetime
    contact: str
    policies: tuple[PolicyResult, ...]


def record_name(domain: str) -> str:
    return f"_smtp._tls.{domain}"


def render_record(rua: Sequence[str]) -> str:
    return f"v=TLSRPTv1; rua={','.join(rua)}"


def parse_report(octets: bytes) -> Report:
    """Read a report's JSON (§4.4). Unknown names are passed over; texts are cut to a length. Raises ReportError."""
    try:
        data = json.loads(octets)
    except (ValueError, RecursionError):
        raise ReportError("it is no JSON") from None
    if not isinstance(data, dict):
        raise ReportError("it is no JSON object")
    dates = _object(data, "date-range")
    begin, end = _moment(dates, "start-datetime"), _moment(dates, "end-datetime")
    if end < begin:
        raise ReportError("its day ends before it begins")
    return Report(
        organization=_text(data, "organization-name"),
        report_id=_required(data, "report-id"),
        begin=begin,
        end=end,
        contact=_text(data, "contact-info"),
        policies=tuple(_policy(one) for one in _objects(data, "policies", MAX_POLICIES)),
    )


def _policy(data: Mapping[str, Any]) -> PolicyResult:
    policy, summary = _object(data, "policy"), _object(data, "summary", {})
    details = _objects(data, "failure-details", MAX_DETAILS)
    return PolicyResult(
        type=_required(policy, "policy-type"),
        domain=_required(policy, "policy-domain").lower().rstrip("."),
        strings=_texts(policy.get("policy-string")),
        # §4.4 calls it mx-host; some senders write mx-host-pattern, as drafts did.
        mx=_texts(policy.get("mx-host", policy.get("mx-host-pattern"))),
        successful=_count(summary, "total-successful-session-count"),
        failed=_count(summary, "total-failure-session-count"),
        failures=tuple(_failure(one) for one in details),
    )


def _failure(data: Mapping[str, Any]) -> FailureDetails:
    return FailureDetails(
        result=_required(data, "result-type"),
        sessions=_count(data, "failed-session-count"),
        sending_ip=_text(data, "sending-mta-ip"),
        receiving_host=_text(data, "receiving-mx-hostname"),
        receiving_helo=_text(data, "receiving-mx-helo"),
        receiving_ip=_text(data, "receiving-ip"),
        information=_text(data, "additional-information") or _text(data, "additional-info-uri"),
        reason_code=_text(data, "failure-reason-code") or _text(data, "failure-error-code"),
    )


def _object(data: Mapping[str, Any], name: str, missing: dict[str, Any] | None = None) -> Mapping[str, Any]:
    value = data.get(name, missing)
    if not isinstance(value, dict):
        raise ReportError(f"it has no {name}")
    return value


def _objects(data: Mapping[str, Any], name: str, limit: int) -> Iterable[Mapping[str, Any]]:
    values = data.get(name) or []
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise ReportError(f"its {name} is no list")
    if len(values) > limit:
        raise ReportError(f"its {name} has {len(values)} entries, more than {limit}")
    return values


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return _printable(value) if isinstance(value, str) else ""


def _required(data: Mapping[str, Any], name: str) -> str:
    if not (text := _text(data, name)):
        raise ReportError(f"it has no {name}")
    return text


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts; some senders write one text instead of a list of one."""
    values = value if isinstance(value, list) else [value]
    return tuple(_printable(one) for one in values[:MAX_POLICIES] if isinstance(one, str))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).strip()


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name, 0)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_COUNT:
        raise ReportError(f"its {name} is no count")
    return value


def _moment(data: Mapping[str, Any], name: str) -> datetime:
    text = _required(data, name)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ReportError(f"its {name} is {text[:40]!r}, which is no date") from None
    if not 2015 <= moment.year <= 2200:
        raise ReportError(f"its {name} is {text[:40]!r}, which can't be")
    return moment
