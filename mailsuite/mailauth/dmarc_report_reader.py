"""Reading DMARC aggregate reports that anybody may have written (RFC 9990, and RFC 7489's format for years to come).

Streamed through expat: no document type or entity, bounded depth, token, names, text and record counts. What is not
well-formed is read once more through mailsuite.mailauth.report_mending. What real reporters leave out has a default
(dmarc_report_values); what is no report at all raises ReportError with words for people. Elements of other namespaces
are passed over (RFC 9990 §3.1.3).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.parsers import expat

from mailsuite.mailauth.dmarc_report import MAX_SIGNATURES, NAMESPACE, Record, ReportHead
from mailsuite.mailauth.dmarc_report_values import Raw, Values, head_of, record_of
from mailsuite.mailauth.report_file import Malformed, ReportError
from mailsuite.mailauth.report_mending import Grammar, Kind, NoReport, decode, tokens, whole

ROOT = "feedback"
_NAMESPACES = {"", NAMESPACE, "http://dmarc.org/dmarc-xml/0.1", "https://dmarc.org/dmarc-xml/0.1"}

# Where tags were lost, it tells where the others belong: what has its place in one element alone, and what holds none.
GRAMMAR = Grammar(
    ROOT,
    {
        "report_metadata": ROOT, "policy_published": ROOT, "record": ROOT, "date_range": "report_metadata",
        "row": "record", "identifiers": "record", "auth_results": "record", "source_ip": "row", "count": "row",
        "policy_evaluated": "row", "disposition": "policy_evaluated", "reason": "policy_evaluated",
        "header_from": "identifiers", "envelope_from": "identifiers", "envelope_to": "identifiers",
    },
    frozenset(
        "version org_name email extra_contact_info report_id begin end error generator domain discovery_method p sp np "
        "fo adkim aspf testing pct source_ip count disposition type comment header_from envelope_from envelope_to "
        "selector result human_result scope".split()
    ),
)  # fmt: skip

# Each costs a step of ours. A record has some thirty: this is room for more of them than are kept.
MAX_ELEMENTS = 200_000
MAX_DEPTH = 12
# Between two events of the parser: a longer tag or comment would have expat go over it again and again.
MAX_TOKEN_OCTETS = 256 * 1024
# Expat remembers every name that it meets.
MAX_NAMES = 1000
MAX_TEXT = 1000
MAX_REASONS = 10
MAX_PERIOD = timedelta(days=32)
MAX_AGE = timedelta(days=400)
MAX_AHEAD = timedelta(days=2)


@dataclass(slots=True)
class Summary:
    """A whole report but for its records. `skipped` are records without a usable address or count; `mended` says, in
    words for people, what had to be put right or made up; `is_malformed` that its XML had to be."""

    head: ReportHead
    records: int
    messages: int
    aligned: int
    skipped: int
    mended: tuple[str, ...] = ()
    is_malformed: bool = False


OpenFile = Callable[[], Iterable[bytes]]


def summarize(open_file: OpenFile, now: datetime, max_age: timedelta = MAX_AGE) -> Summary:
    """Reads the report to its end, strictly and, where it is not well-formed, once more leniently; checks it against
    every limit, and says what it holds. Raises ReportError."""
    try:
        return _summarize(open_file, now, max_age, mends=False)
    except Malformed as problem:
        try:
            return _summarize(open_file, now, max_age, mends=True)
        except NoReport:
            raise problem from None


def read_records(chunks: Iterable[bytes], *, mends: bool = False) -> Iterator[Record]:
    """The records, in their order, a chunk's at a time; `mends` is whether the report was found to be malformed. Raises
    ReportError."""
    parser = _Parser()
    return parser.run_mended(chunks) if mends else parser.run(chunks)


def _summarize(open_file: OpenFile, now: datetime, max_age: timedelta, *, mends: bool) -> Summary:
    parser = _Parser()
    records = messages = aligned = 0
    for record in parser.run_mended(open_file()) if mends else parser.run(open_file()):
        records += 1
        messages += record.count
        aligned += record.count if record.dkim_aligned or record.spf_aligned else 0
    head = head_of(parser.values, parser.note)
    _check_dates(head, now, max_age)
    return Summary(head, records, messages, aligned, parser.skipped, tuple(parser.mended), mends)


@dataclass(frozen=True, slots=True)
class _Group:
    """An element below a record that may come several times, each with texts of its own: so many are kept. `text` is
    what it means when it holds a text itself."""

    limit: int
    text: str


_GROUPS = {
    "auth_results/dkim": _Group(MAX_SIGNATURES, "result"),
    "auth_results/spf": _Group(10, "result"),
    "row/policy_evaluated/reason": _Group(MAX_REASONS, "type"),
}


class _Parser:
    """Takes octets, gives records; `values` has the texts outside records by path, such as report_metadata/org_name."""

    def __init__(self) -> None:
        self.values: Values = {}
        self.mended: dict[str, None] = {}
        self.skipped = self.elements = 0
        self._path: list[str] = []
        self._foreign = 0
        self._text: list[str] = []
        self._text_length = 0
        self._raw: Raw | None = None
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
            raise Malformed(f"it is no well-formed XML ({error})") from None
        except (LookupError, ValueError):  # an encoding that nobody knows
            raise Malformed("its text can't be decoded") from None
        yield from self._take()

    def run_mended(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """The same of XML that is not well-formed, as far as it can be put in order."""
        text = decode(whole(chunks), self.note)
        for kind, value in tokens(text, GRAMMAR, self.note):
            if kind is Kind.START:
                self._start(value, {})
            elif kind is Kind.END:
                self._end(value)
                yield from self._take()
            else:
                self._characters(value)

    def note(self, what: str) -> None:
        """Keeps what was put right, once."""
        self.mended[what] = None

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
        if not self._path and not self._foreign and (local != ROOT or namespace not in _NAMESPACES):
            raise Malformed("its XML is no DMARC report")
        if self._foreign or namespace not in _NAMESPACES:
            self._foreign += 1
            return
        self._path.append(local)
        self._text, self._text_length = [], 0
        if self._path[1:] == ["record"]:
            self._raw = Raw()
        elif self._path[1:] == ["record", "row"] and self._raw is not None and "row/count" in self._raw.values:
            # Each row counts messages of its own.
            self.note("records of several rows")
            self._finish_record(self._raw)
            self._raw = Raw()
        elif self._raw is not None and (path := "/".join(self._path[2:])) in _GROUPS:
            found = self._raw.groups.setdefault(path, [])
            self._group = {}
            if len(found) < _GROUPS[path].limit:
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
        elif self._group is not None and (group := "/".join(path[2:])) in _GROUPS:
            if text and not self._group:  # <reason>forwarded</reason>, as some write it
                self._group[_GROUPS[group].text] = [_printable(text)]
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

    def _finish_record(self, raw: Raw) -> None:
        record = record_of(raw, self.values, self.note)
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


def _check_dates(head: ReportHead, now: datetime, max_age: timedelta) -> None:
    if not head.begins_at <= head.ends_at <= head.begins_at + MAX_PERIOD:
        raise ReportError("its period makes no sense")
    if head.ends_at > now + MAX_AHEAD:
        raise ReportError("its period lies in the future")
    if head.begins_at < now - max_age:
        raise ReportError("it is too old")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
