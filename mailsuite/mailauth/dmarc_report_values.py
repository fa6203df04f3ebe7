"""What the texts in a DMARC aggregate report mean: its head and its records, from texts by their path.

What reporters leave out or write otherwise is made up for where there is one sound way to; what was made up is noted in
words for people. Pure.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address

from mailsuite.mailauth.dmarc_report import (
    DISPOSITIONS,
    DKIM_RESULTS,
    SPF_RESULTS,
    DkimResult,
    PolicyPublished,
    Reason,
    Record,
    ReportHead,
    SpfResult,
)
from mailsuite.mailauth.report_file import ReportError

MAX_COUNT = 10**9
DAY = timedelta(days=1)
PASS_OR_FAIL = ("pass", "fail")
# Where the domain in From of the first record is kept, among the texts outside records: no element is called so.
FIRST_FROM = "first header_from"

# "[2001:db8::1]:25", "192.0.2.1:25", "192.0.2.1/32": an address with what is none of it
_ADDRESS = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+)(?::\d{1,5})?(?:/32)?")
_COUNT = re.compile(r"\+?([0-9]{1,12})(?:\.0*)?")
# Words of RFC 4408, and of programs.
_OTHERWISE = {"hardfail": "fail", "soft_fail": "softfail", "soft-fail": "softfail", "unknown": "permerror",
              "error": "temperror"}  # fmt: skip

Values = dict[str, list[str]]
Note = Callable[[str], None]


@dataclass(slots=True)
class Raw:
    """A record being read: texts by path below it; DKIM, SPF and reason elements each in their own."""

    values: Values = field(default_factory=dict)
    groups: dict[str, list[Values]] = field(default_factory=dict)


def one(values: Mapping[str, list[str]], key: str) -> str:
    """The first text at the path, "" for none."""
    return values.get(key, [""])[0]


def head_of(values: Values, note: Note) -> ReportHead:
    """The head, from texts by path, those of `record_of` included. `org_name` is "" where nothing names the reporter.
    Raises ReportError for one without a domain or a period."""
    begin, end = _period(values, note)
    policy = {name: one(values, f"policy_published/{name}") for name in PolicyPublished.__slots__}
    policy["domain"] = _policy_domain(values, note)
    return ReportHead(
        org_name=_organization(values, note)[:255],
        email=one(values, "report_metadata/email")[:320],
        report_id=_report_id(values, begin, end, note)[:255],
        begins_at=begin,
        ends_at=end,
        policy=PolicyPublished(**policy | {"p": policy["p"].lower() or "none"}),
        extra_contact_info=one(values, "report_metadata/extra_contact_info")[:500],
        errors=tuple(values.get("report_metadata/error", ())),
        generator=one(values, "report_metadata/generator")[:255],
    )


def record_of(raw: Raw, report: Values, note: Note) -> Record | None:
    """The record, or None when nobody could tell what it counts. `report` are the texts outside records; the domain in
    From of the first record is kept there."""
    values, evaluated = raw.values, "row/policy_evaluated"
    source_ip = _address(one(values, "row/source_ip"), note)
    count = _COUNT.fullmatch(one(values, "row/count"))
    if not source_ip or count is None or not 0 < int(count[1]) <= MAX_COUNT:
        return None
    header_from = _domain(one(values, "identifiers/header_from") or one(report, "policy_published/domain"))
    report.setdefault(FIRST_FROM, [header_from])
    disposition = _known(one(values, f"{evaluated}/disposition"), DISPOSITIONS, "none", "disposition", note)
    dkim, spf = (
        _known(one(values, f"{evaluated}/{name}"), PASS_OR_FAIL, "fail", name, note) for name in ("dkim", "spf")
    )
    reasons = [
        Reason(one(group, "type").lower()[:40], one(group, "comment")[:200])
        for group in raw.groups.get(f"{evaluated}/reason", ())
    ]
    return Record(
        source_ip=source_ip,
        count=int(count[1]),
        disposition=disposition,
        dkim_aligned=dkim == "pass",
        spf_aligned=spf == "pass",
        header_from=header_from,
        envelope_from=_domain(one(values, "identifiers/envelope_from")),
        envelope_to=_domain(one(values, "identifiers/envelope_to")),
        reasons=tuple(reason for reason in reasons if reason.type or reason.comment),
        dkim=tuple(
            DkimResult(
                _domain(one(group, "domain")),
                one(group, "selector")[:253],
                _result(group, DKIM_RESULTS),
                one(group, "human_result")[:200],
            )
            for group in raw.groups.get("auth_results/dkim", ())
        ),
        spf=tuple(
            SpfResult(
                _domain(one(group, "domain")),
                _result(group, SPF_RESULTS),
                "helo" if one(group, "scope").lower() == "helo" else "mfrom",
                one(group, "human_result")[:200],
            )
            for group in raw.groups.get("auth_results/spf", ())
        ),
    )


def _organization(values: Values, note: Note) -> str:
    if name := one(values, "report_metadata/org_name"):
        return name
    note("no organisation's name")
    return _domain(one(values, "report_metadata/email").rpartition("@")[2].strip("<> "))


def _report_id(values: Values, begin: datetime, end: datetime, note: Note) -> str:
    """The report's id; of one without, its period, which is the same when it is sent again."""
    if name := one(values, "report_metadata/report_id"):
        return name
    note("no report id")
    return f"{int(begin.timestamp())}-{int(end.timestamp())}"


def _policy_domain(values: Values, note: Note) -> str:
    if domain := _domain(one(values, "policy_published/domain")):
        return domain
    if domain := one(values, FIRST_FROM):
        note("no domain but that of its first record")
        return domain
    raise ReportError("it names no domain")


def _period(values: Values, note: Note) -> tuple[datetime, datetime]:
    begin, end = (one(values, f"report_metadata/date_range/{name}") for name in ("begin", "end"))
    if begin and end:
        return _moment(begin, note), _moment(end, note)
    known = _moment(begin or end, note)
    note("a period of which one end is missing")
    return (known, known + DAY) if begin else (known - DAY, known)


def _moment(text: str, note: Note) -> datetime:
    """Seconds since 1970, which some write with a fraction, some as milliseconds, and some as a date."""
    whole = text.partition(".")[0]
    try:
        if not whole.isdigit():
            moment = datetime.fromisoformat(text)
            note("a period that is not written in seconds")
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if len(whole) == 13:
            note("a period that is not written in seconds")
            whole = whole[:-3]
        return datetime.fromtimestamp(int(whole if len(whole) <= 12 else "x"), UTC)
    except (ValueError, OverflowError, OSError):
        raise ReportError("it has no period") from None


def _address(text: str, note: Note) -> str:
    """The address as text, an IPv4 one as that; "" for none."""
    try:
        address = ip_address(text)
    except ValueError:
        match = _ADDRESS.fullmatch(text)
        if match is None:
            return ""
        note("addresses with a port or mask")
        try:
            address = ip_address(match[1] or match[2])
        except ValueError:
            return ""
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address).partition("%")[0]
    return str(address)


def _known(text: str, words: tuple[str, ...], otherwise: str, name: str, note: Note) -> str:
    """The word, or what counts in its place."""
    if (word := text.lower()) in words:
        return word
    note(f"records without a known {name}, which count as {otherwise}")
    return otherwise


def _result(group: Values, known: tuple[str, ...]) -> str:
    result = one(group, "result").lower()
    result = _OTHERWISE.get(result, result)
    return result if result in known else "none"


def _domain(text: str) -> str:
    return text.lower().rstrip(".")[:253]
