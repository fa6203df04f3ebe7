"""TLS reports (RFC 8460): the record that asks for them, written, and the report itself, read.

A report tells, for one day and one policy domain, how many sessions were under TLS as the domain's policy wants, and
which failed how. What others sent is read with limits: it may be anybody's.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from mailsuite.mailauth.report_file import ReportError
from mailsuite.mailauth.report_mending import NoReport, decode, read_json, whole

MAX_POLICIES = 1000
MAX_DETAILS = 10_000
MAX_TEXT = 1000
# More sessions than any domain has: sums of what all reports say stay within what databases add up.
MAX_COUNT = 10**10

_DAYS_END = re.compile(r"[T ](?:24:00(?::00(?:\.0*)?)?|23:59:60)")
T = TypeVar("T")


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
    """`begin` and `end` are aware, UTC; a day from 00:00 on (§4.1). `mended` says, in words for people, what had to be
    put right or made up; a policy's domain is "" where the report does not tell."""

    organization: str
    report_id: str
    begin: datetime
    end: datetime
    contact: str
    policies: tuple[PolicyResult, ...]
    mended: tuple[str, ...] = ()


def record_name(domain: str) -> str:
    return f"_smtp._tls.{domain}"


def render_record(rua: Sequence[str]) -> str:
    return f"v=TLSRPTv1; rua={','.join(rua)}"


def parse_report(octets: bytes) -> Report:
    """Read a report's JSON (§4.4), strictly and, where that fails, once more leniently. Unknown names are passed over;
    texts are cut to a length. Raises ReportError."""
    try:
        return _Reader().report(_json(octets))
    except ReportError as problem:
        reader = _LenientReader()
        try:
            return reader.report(reader.json(octets))
        except NoReport:
            raise problem from None


def _json(octets: bytes) -> Any:
    try:
        return json.loads(octets)
    except (ValueError, RecursionError):
        raise ReportError("it is no JSON") from None


class _Reader:
    """What the names of a report mean, to the letter of RFC 8460 §4.4 but for what senders are known to write."""

    def __init__(self) -> None:
        self.mended: dict[str, None] = {}

    def report(self, data: Any) -> Report:
        if not isinstance(data, dict):
            raise ReportError("it is no JSON object")
        dates = _object(data, "date-range")
        begin, end = self.moment(dates, "start-datetime"), self.moment(dates, "end-datetime")
        if end < begin:
            raise ReportError("its day ends before it begins")
        policies = tuple(self.every(self.policy, self.objects(data, "policies", MAX_POLICIES), "policies"))
        return Report(
            organization=self.organization(data),
            report_id=self.text(data, "report-id", f"{begin:%Y%m%d%H%M}-{end:%Y%m%d%H%M}"),
            begin=begin,
            end=end,
            contact=_text(data, "contact-info"),
            policies=policies,
            mended=tuple(self.mended),
        )

    def policy(self, data: Mapping[str, Any]) -> PolicyResult:
        policy, summary = _object(data, "policy"), _object(data, "summary", {})
        details = self.objects(data, "failure-details", MAX_DETAILS)
        return PolicyResult(
            type=self.text(policy, "policy-type", "unknown"),
            domain=self.text(policy, "policy-domain", "").lower().rstrip("."),
            strings=_texts(policy.get("policy-string")),
            # §4.4 calls it mx-host; some senders write mx-host-pattern, as drafts did.
            mx=_texts(policy.get("mx-host", policy.get("mx-host-pattern"))),
            successful=self.count(summary, "total-successful-session-count"),
            failed=self.count(summary, "total-failure-session-count"),
            failures=tuple(self.every(self.failure, details, "failures")),
        )

    def failure(self, data: Mapping[str, Any]) -> FailureDetails:
        return FailureDetails(
            result=self.text(data, "result-type", ResultType.VALIDATION_FAILURE.value),
            sessions=self.count(data, "failed-session-count"),
            sending_ip=_text(data, "sending-mta-ip"),
            receiving_host=_text(data, "receiving-mx-hostname"),
            receiving_helo=_text(data, "receiving-mx-helo"),
            receiving_ip=_text(data, "receiving-ip"),
            information=_text(data, "additional-information") or _text(data, "additional-info-uri"),
            reason_code=_text(data, "failure-reason-code") or _text(data, "failure-error-code"),
        )

    def organization(self, data: Mapping[str, Any]) -> str:
        return _text(data, "organization-name")

    def objects(self, data: Mapping[str, Any], name: str, limit: int) -> Sequence[Mapping[str, Any]]:
        values = data.get(name) or []
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            raise ReportError(f"its {name} is no list")
        if len(values) > limit:
            raise ReportError(f"its {name} has {len(values)} entries, more than {limit}")
        return values

    def text(self, data: Mapping[str, Any], name: str, otherwise: str) -> str:
        """The text of that name. Raises ReportError where it is missing."""
        if not (text := _text(data, name)):
            raise ReportError(f"it has no {name}")
        return text

    def count(self, data: Mapping[str, Any], name: str) -> int:
        value = data.get(name, 0)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_COUNT:
            raise ReportError(f"its {name} is no count")
        return value

    def moment(self, data: Mapping[str, Any], name: str) -> datetime:
        text = self.text(data, name, "")
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise ReportError(f"its {name} is {text[:40]!r}, which is no date") from None
        if not 2015 <= moment.year <= 2200:
            raise ReportError(f"its {name} is {text[:40]!r}, which can't be")
        return moment

    def every(
        self, read: Callable[[Mapping[str, Any]], T], found: Iterable[Mapping[str, Any]], what: str
    ) -> Iterator[T]:
        return map(read, found)


class _LenientReader(_Reader):
    """Takes what a report leaves out as far as there is one sound way to, and passes over what makes no sense."""

    def note(self, what: str) -> None:
        self.mended[what] = None

    def json(self, octets: bytes) -> Any:
        """The first JSON object in the octets. Raises NoReport."""
        try:
            found = read_json(decode(whole([octets]), self.note), self.note)
        except (ValueError, RecursionError):
            raise NoReport("it is no JSON") from None
        if isinstance(found, list) and found:
            self.note("a list around the report")
            found = found[0]
        return found

    def organization(self, data: Mapping[str, Any]) -> str:
        if name := _text(data, "organization-name"):
            return name
        self.note("no organization-name")
        return _text(data, "contact-info").rpartition("@")[2]

    def objects(self, data: Mapping[str, Any], name: str, limit: int) -> Sequence[Mapping[str, Any]]:
        value = data.get(name)
        if isinstance(value, dict):
            self.note(f"{name} that are no list")
            value = [value]
        if isinstance(value, list) and not all(isinstance(one, dict) for one in value):
            self.note(f"{name} that make no sense")
            value = [one for one in value if isinstance(one, dict)]
        return super().objects({name: value}, name, limit)

    def text(self, data: Mapping[str, Any], name: str, otherwise: str) -> str:
        if text := _text(data, name):
            return text
        self.note(f"no {name}")
        return otherwise

    def count(self, data: Mapping[str, Any], name: str) -> int:
        value = data.get(name, 0)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or value == "":
            self.note(f"no {name}")
            return 0
        return super().count({name: value}, name)

    def moment(self, data: Mapping[str, Any], name: str) -> datetime:
        """24:00 is the end of the day (ISO 8601), and 23:59:60 that of one with a leap second."""
        text = _text(data, name)
        if match := _DAYS_END.search(text):
            self.note("a day that ends at 24:00")
            start = f"{text[: match.start()]}T00:00:00{text[match.end() :]}"
            return super().moment({name: start}, name) + timedelta(days=1)
        return super().moment({name: text}, name)

    def every(
        self, read: Callable[[Mapping[str, Any]], T], found: Iterable[Mapping[str, Any]], what: str
    ) -> Iterator[T]:
        passed_over = 0
        for one in found:
            try:
                yield read(one)
            except ReportError:
                passed_over += 1
        if passed_over:
            self.note(f"{passed_over} {what} that make no sense")


def _object(data: Mapping[str, Any], name: str, missing: dict[str, Any] | None = None) -> Mapping[str, Any]:
    value = data.get(name, missing)
    if not isinstance(value, dict):
        raise ReportError(f"it has no {name}")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return _printable(value) if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts; some senders write one text instead of a list of one."""
    values = value if isinstance(value, list) else [value]
    return tuple(_printable(one) for one in values[:MAX_POLICIES] if isinstance(one, str))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).strip()
