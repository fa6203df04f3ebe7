"""Reading DMARC aggregate reports that anybody may have written (RFC 9990, and RFC 7489's format for years to come).

Streamed through expat: no document type or entity, bounded depth, token, names, text and record counts. What real
reporters leave out has a default; what is no report at all raises ReportError with words for people. Elements of other
namespaces are passed over (RFC 9990 §3.1.3).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from xml.parsers import expat

from mailsuite.mailauth.dmarc_report import (
    DISPOSITIONS,
    DKIM_RESULTS,
    MAX_SIGNATURES,
    NAMESPACE,
    SPF_RESULTS,
    DkimResult,
    PolicyPublished,
    Reason,
    Record,
    ReportHead,
    SpfResult,
)
from mailsuite.mailauth.report_file import ReportError

_NAMESPACES = {"", NAMESPACE, "http://dmarc.org/dmarc-xml/0.1", "https://dmarc.org/dmarc-xml/0.1"}

# Each costs a step of ours. A record has some thirty: this is room for more of them than are kept.
MAX_ELEMENTS = 200_000
MAX_DEPTH = 12
# Between two events of the parser: a longer tag or comment would have expat go over it again and again.
MAX_TOKEN_OCTETS = 256 * 1024
# Expat remembers every name that it meets.
MAX_NAMES = 1000
MAX_TEXT = 1000
MAX_REASONS = 10
MAX_COUNT = 10**9
MAX_PERIOD = timedelta(days=32)
MAX_AGE = timedelta(days=400)
MAX_AHEAD = timedelta(days=2)


@dataclass(slots=True)
class Summary:
    """A whole report but for its records. `skipped` are records without a usable address or count."""

    head: ReportHead
    records: int
    messages: int
    aligned: int
    skipped: int


def summarize(chunks: Iterable[bytes], now: datetime) -> Summary:
    """Reads the report to its end, checks it against every limit, and says what it holds. Raises ReportError."""
    parser = _Parser()
    records = messages = aligned = 0
    for record in parser.run(chunks):
        records += 1
        messages += record.count
        aligned += record.count if record.dkim_aligned or record.spf_aligned else 0
    head = _head(parser.values)
    _check_dates(head, now)
    return Summary(head, records, messages, aligned, parser.skipped)


def read_records(chunks: Iterable[bytes]) -> Iterator[Record]:
    """The records, in their order, a chunk's at a time. Raises ReportError."""
    return _Parser().run(chunks)


Values = dict[str, list[str]]


@dataclass(slots=True)
class _Raw:
    """A record being read: texts by path below it; DKIM, SPF and reason elements each in their own."""

    values: Values = field(default_factory=dict)
    groups: dict[str, list[Values]] = field(default_factory=dict)


# Elements below a record that may come several times, each with texts of its own.
_GROUPS = {"auth_results/dkim": MAX_SIGNATURES, "auth_results/spf": 10, "row/policy_evaluated/reason": MAX_REASONS}


class _Parser:
    """Takes octets, gives records; `values` has the texts outside records by path, such as report_metadata/org_name."""

    def __init__(self) -> None:
        self.values: Values = {}
        self.skipped = self.elements = 0
        self._path: list[str] = []
        self._foreign = 0
        self._text: list[str] = []
        self._text_length = 0
        self._raw: _Raw | None = None
        self._group: Values | None = None
        self._ready: list[Record] = []
        self._fed = self._event_at = 0
        self._names: set[str] = set()

    def run(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        parser = expat.ParserCreate(namespace_separator=" ", intern=None)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.DefaultHandler = self._other
        parser.StartNamespaceDeclHandler = self._declare
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.EntityDeclHandler = _refuse_doctype
        try:
            for chunk in chunks:
                self._fed += len(chunk)
                parser.Parse(chunk, False)
                if self._fed - self._event_at > MAX_TOKEN_OCTETS:
                    raise ReportError("a piece of the XML is too long")
                yield from self._take()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise ReportError(f"it is no well-formed XML ({error})") from None
        except (LookupError, ValueError):  # an encoding that nobody knows
            raise ReportError("its text can't be decoded") from None
        yield from self._take()

    def _take(self) -> list[Record]:
        ready, self._ready = self._ready, []
        return ready

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._event_at = self._fed
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise ReportError(f"it has more than {MAX_ELEMENTS:,} elements")
        self._learn(name, *attributes)
        if len(self._path) + self._foreign >= MAX_DEPTH:
            raise ReportError("its XML is nested too deeply")
        namespace, _, local = name.rpartition(" ")
        if not self._path and not self._foreign and (local != "feedback" or namespace not in _NAMESPACES):
            raise ReportError("its XML is no DMARC report")
        if self._foreign or namespace not in _NAMESPACES:
            self._foreign += 1
            return
        self._path.append(local)
        self._text, self._text_length = [], 0
        if self._path[1:] == ["record"]:
            self._raw = _Raw()
        elif self._raw is not None and (path := "/".join(self._path[2:])) in _GROUPS:
            found = self._raw.groups.setdefault(path, [])
            self._group = {}
            if len(found) < _GROUPS[path]:
                found.append(self._group)

    def _learn(self, *names: str) -> None:
        self._names.update(names)
        if len(self._names) > MAX_NAMES:
            raise ReportError("its XML has too many different names")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._learn(f"{prefix}={uri}")

    def _end(self, name: str) -> None:
        self._event_at = self._fed
        if self._foreign:
            self._foreign -= 1
            return
        path, text = self._path, "".join(self._text).strip()
        self._text, self._text_length = [], 0
        if path[1:] == ["record"] and self._raw is not None:
            self._finish_record(self._raw)
            self._raw = None
        elif self._group is not None and "/".join(path[2:]) in _GROUPS:
            self._group = None
        elif text:
            self._keep(path, _printable(text))
        path.pop()

    def _keep(self, path: list[str], text: str) -> None:
        if self._group is not None:
            values, key = self._group, path[-1]
        elif self._raw is not None:
            values, key = self._raw.values, "/".join(path[2:])
        else:
            values, key = self.values, "/".join(path[1:])
        found = values.setdefault(key, [])
        # Only errors may come several times, and nobody reads more than a few.
        if len(found) < 10 and len(values) <= 100:
            found.append(text)

    def _finish_record(self, raw: _Raw) -> None:
        record = _record(raw, _one(self.values, "policy_published/domain"))
        if record is None:
            self.skipped += 1
        else:
            self._ready.append(record)

    def _characters(self, text: str) -> None:
        self._event_at = self._fed
        if not self._foreign and self._text_length < MAX_TEXT:
            self._text.append(text[: MAX_TEXT - self._text_length])
            self._text_length += len(text)

    def _other(self, text: str) -> None:
        self._event_at = self._fed


def _refuse_doctype(*_: object) -> None:
    raise ReportError("its XML has a document type, which reports have not")


def _head(values: Values) -> ReportHead:
    begin = _moment(_one(values, "report_metadata/date_range/begin"))
    end = _moment(_one(values, "report_metadata/date_range/end"))
    policy = {name: _one(values, f"policy_published/{name}") for name in PolicyPublished.__slots__}
    policy["domain"] = _domain(policy["domain"])
    head = ReportHead(
        org_name=_one(values, "report_metadata/org_name")[:255],
        email=_one(values, "report_metadata/email")[:320],
        report_id=_one(values, "report_metadata/report_id")[:255],
        begins_at=begin,
        ends_at=end,
        policy=PolicyPublished(**policy | {"p": policy["p"].lower() or "none"}),
        extra_contact_info=_one(values, "report_metadata/extra_contact_info")[:500],
        errors=tuple(values.get("report_metadata/error", ())),
        generator=_one(values, "report_metadata/generator")[:255],
    )
    for name, value in (
        ("organisation", head.org_name),
        ("report id", head.report_id),
        ("domain", head.policy.domain),
    ):
        if not value:
            raise ReportError(f"it names no {name}")
    return head


def _check_dates(head: ReportHead, now: datetime) -> None:
    if not head.begins_at <= head.ends_at <= head.begins_at + MAX_PERIOD:
        raise ReportError("its period makes no sense")
    if head.ends_at > now + MAX_AHEAD:
        raise ReportError("its period lies in the future")
    if head.begins_at < now - MAX_AGE:
        raise ReportError("it is too old")


def _moment(text: str) -> datetime:
    """Seconds since 1970, which some write with a fraction."""
    try:
        return datetime.fromtimestamp(int(text.partition(".")[0][:12]), UTC)
    except (ValueError, OverflowError, OSError):
        raise ReportError("it has no period") from None


def _record(raw: _Raw, policy_domain: str) -> Record | None:
    """The record, or None when nobody could tell what it counts."""
    values, evaluated = raw.values, "row/policy_evaluated"
    try:
        source_ip = str(ip_address(_one(values, "row/source_ip")))
        count = int(_one(values, "row/count")[:12])
    except ValueError:
        return None
    if not 0 < count <= MAX_COUNT:
        return None
    disposition = _one(values, f"{evaluated}/disposition").lower()
    return Record(
        source_ip=source_ip,
        count=count,
        disposition=disposition if disposition in DISPOSITIONS else "none",
        dkim_aligned=_one(values, f"{evaluated}/dkim").lower() == "pass",
        spf_aligned=_one(values, f"{evaluated}/spf").lower() == "pass",
        header_from=_domain(_one(values, "identifiers/header_from") or policy_domain),
        envelope_from=_domain(_one(values, "identifiers/envelope_from")),
        envelope_to=_domain(_one(values, "identifiers/envelope_to")),
        reasons=tuple(
            Reason(_one(group, "type").lower()[:40], _one(group, "comment")[:200])
            for group in raw.groups.get("row/policy_evaluated/reason", ())
        ),
        dkim=tuple(
            DkimResult(
                _domain(_one(group, "domain")),
                _one(group, "selector")[:253],
                _result(group, DKIM_RESULTS),
                _one(group, "human_result")[:200],
            )
            for group in raw.groups.get("auth_results/dkim", ())
        ),
        spf=tuple(
            SpfResult(
                _domain(_one(group, "domain")),
                _result(group, SPF_RESULTS),
                "helo" if _one(group, "scope").lower() == "helo" else "mfrom",
                _one(group, "human_result")[:200],
            )
            for group in raw.groups.get("auth_results/spf", ())
        ),
    )


def _result(group: Values, known: tuple[str, ...]) -> str:
    result = _one(group, "result").lower()
    return result if result in known else "none"


def _one(values: Values, key: str) -> str:
    return values.get(key, [""])[0]


def _domain(text: str) -> str:
    return text.lower().rstrip(".")[:253]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
