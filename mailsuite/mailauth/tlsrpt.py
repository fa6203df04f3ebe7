"""TLS reports (RFC 8460): the record that asks for them, and the report itself, read and written.

A report tells, for one day and one policy domain, how many sessions were under TLS as the domain's policy wants, and
which failed how. What others sent is read with limits: it may be anybody's.
"""

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

MAX_RUA = 5
MAX_REPORT_OCTETS = 10 * 1024 * 1024
MAX_INFLATED_OCTETS = 50 * 1024 * 1024
MAX_POLICIES = 1000
MAX_DETAILS = 10_000
MAX_TEXT = 1000
MAX_COUNT = 2**53
MEDIA_TYPES = ("application/tlsrpt+json", "application/tlsrpt+gzip")

_WSP = " \t"
# tlsrpt-uri: a mailto or https URI whose "!", "," and ";" are encoded           RFC 8460 §3
_URI = re.compile(r"(?:mailto:[^\s,;!@]+@[^\s,;!@]+|https://[^\s,;!]+)", re.IGNORECASE)
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)


class ReportError(Exception):
    """A record or report that is none; str() says why."""


class PolicyType(Enum):
    """RFC 8460 §4.4, policy-type."""

    TLSA = "tlsa"
    STS = "sts"
    NO_POLICY = "no-policy-found"


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


@dataclass(slots=True)
class Counts:
    """Sessions of one day with one policy domain."""

    successful: int = 0
    failed: dict[tuple[ResultType, frozenset[tuple[str, str]]], int] = field(default_factory=dict)

    def fail(self, result: ResultType, **where: str) -> None:
        """Counts a failure; `where` are FailureDetails' texts. Failures that are alike in all are one entry."""
        key = (result, frozenset(where.items()))
        self.failed[key] = self.failed.get(key, 0) + 1


def record_name(domain: str) -> str:
    return f"_smtp._tls.{domain}"


def render_record(rua: Sequence[str]) -> str:
    return f"v=TLSRPTv1; rua={','.join(rua)}"


def find_rua(texts: Sequence[bytes]) -> tuple[str, ...]:
    """The URIs in the TXT records of `_smtp._tls.DOMAIN` (§3): where reports go, none without such a record. Raises
    ReportError when there are several or the one is malformed: senders then send no reports."""
    records = [text for text in texts if text.startswith(b"v=TLSRPTv1;")]
    if not records:
        return ()
    if len(records) > 1:
        raise ReportError(f"there are {len(records)} records that begin with v=TLSRPTv1; where there must be one")
    fields = _record_fields(records[0])
    if "rua" not in fields:
        raise ReportError("it has no rua, which says where reports go")
    uris = [uri.strip(_WSP) for uri in fields["rua"].split(",")]
    for uri in uris:
        if not _URI.fullmatch(uri):
            raise ReportError(f"its rua names {uri[:80]!r}, which is neither mailto:ADDRESS nor https://…")
    return tuple(dict.fromkeys(uris))[:MAX_RUA]


def read_report(octets: bytes) -> Report:
    """Read a report as it comes in mail or by POST, gzip or plain JSON. Raises ReportError."""
    if len(octets) > MAX_REPORT_OCTETS:
        raise ReportError("it is larger than 10 MB")
    return parse_report(_inflated(octets) if octets.startswith(b"\x1f\x8b") else octets)


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


def render_report(report: Report) -> bytes:
    """Write a report as JSON (§4.4); names without a value are left out."""
    data = {
        "organization-name": report.organization,
        "date-range": {"start-datetime": _zulu(report.begin), "end-datetime": _zulu(report.end)},
        "contact-info": report.contact,
        "report-id": report.report_id,
        "policies": [_policy_data(policy) for policy in report.policies],
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def gather(type: PolicyType, domain: str, strings: Sequence[str], mx: Sequence[str], counts: Counts) -> PolicyResult:
    """One policy's result out of counted sessions."""
    failures = tuple(
        FailureDetails(result.value, sessions, **dict(where)) for (result, where), sessions in counts.failed.items()
    )
    return PolicyResult(
        type.value, domain, tuple(strings), tuple(mx), counts.successful, sum(counts.failed.values()), failures
    )


def _record_fields(record: bytes) -> dict[str, str]:
    text = record.decode("ascii", "replace")
    parts = [part.strip(_WSP) for part in text.split(";")]
    fields: dict[str, str] = {}
    for part in parts[:-1] if not parts[-1] else parts:
        name, equals, value = part.partition("=")
        if not equals or not _TAG.fullmatch(name.strip(_WSP)):
            raise ReportError(f"{part[:40]!r} in it is no name=value")
        fields.setdefault(name.strip(_WSP), value.strip(_WSP))
    return fields


def _inflated(octets: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(octets, MAX_INFLATED_OCTETS)
    except zlib.error:
        raise ReportError("it is no gzip file") from None
    if inflater.unconsumed_tail:
        raise ReportError("unpacked it is larger than 50 MB")
    if not inflater.eof:
        raise ReportError("its gzip file is cut short")
    return data


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


def _policy_data(policy: PolicyResult) -> dict[str, Any]:
    about: dict[str, Any] = {"policy-type": policy.type}
    if policy.strings:
        about["policy-string"] = list(policy.strings)
    about["policy-domain"] = policy.domain
    if policy.mx:
        about["mx-host"] = list(policy.mx)
    data: dict[str, Any] = {
        "policy": about,
        "summary": {
            "total-successful-session-count": policy.successful,
            "total-failure-session-count": policy.failed,
        },
    }
    if policy.failures:
        data["failure-details"] = [_failure_data(failure) for failure in policy.failures]
    return data


def _failure_data(failure: FailureDetails) -> dict[str, Any]:
    texts = {
        "sending-mta-ip": failure.sending_ip,
        "receiving-mx-hostname": failure.receiving_host,
        "receiving-mx-helo": failure.receiving_helo,
        "receiving-ip": failure.receiving_ip,
        "additional-information": failure.information,
        "failure-reason-code": failure.reason_code,
    }
    given = {name: text for name, text in texts.items() if text}
    return {"result-type": failure.result, **given, "failed-session-count": failure.sessions}


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


def _zulu(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
