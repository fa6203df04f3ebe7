"""What a mail to a report address holds: the files of reports, or the parts of a failure report; its own, or those of
mails that it forwards as attachments. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mailsuite.mail.header import collect_fields, unfold
from mailsuite.mail.message import parse_message
from mailsuite.mail.mime_fields import content_type_of, encoding_of, file_name_of
from mailsuite.mail.structure import Part, PartKind
from mailsuite.mail.transfer_encoding import base64_part, from_base64, from_quoted_printable
from mailsuite.mailauth.failure_report import read_plain_report
from mailsuite.mailauth.report_file import MAX_OCTETS, ReportError, chunks, member_count

# Parts that are looked at, those of forwarded mails included, and reports that are taken of one mail.
MAX_PARTS = 200
MAX_REPORTS = 50
_SLICE_OCTETS = 192 * 1024
_FILE_TYPES = {
    b"application/gzip", b"application/x-gzip", b"application/zip", b"application/x-zip-compressed",
    b"application/tlsrpt+gzip", b"application/tlsrpt+json", b"text/xml", b"application/xml", b"application/json",
    b"application/octet-stream",
}  # fmt: skip
_EXTENSIONS = (b".gz", b".gzip", b".zip", b".xml", b".json")
_MESSAGE_TYPES = {b"message/rfc822", b"message/global", b"text/rfc822-headers", b"message/global-headers"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]++")


class Format(Enum):
    """What a report's file turns out to be."""

    DMARC = "dmarc"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """The file, still packed, and which of the files in it is the report, whatever it is called. `enclosing` is the
    forwarded mail that it came in, b"" where it came in the mail itself."""

    format: Format
    octets: bytes
    member: int = 0
    enclosing: bytes = b""

    def chunks(self, max_octets: int = MAX_OCTETS) -> Iterator[bytes]:
        """The report's octets in pieces. Raises ReportError."""
        return chunks(self.octets, self.member, max_octets=max_octets)


@dataclass(frozen=True, slots=True)
class FailureParts:
    """A failure report's fields, and the message it is about or that message's header."""

    feedback: bytes
    message: bytes
    enclosing: bytes = b""


Found = ReportFile | FailureParts


class NotAReport(Exception):
    """The mail is none, and nobody expects one to be: a bounce, an automatic reply."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    type: bytes
    encoding: bytes
    name: bytes
    body: bytes


def find_reports(octets: bytes, root: Part) -> list[Found]:
    """The reports in the message, one at least; where it has none itself, those of mails that it forwards. Raises
    ReportError when there is none, NotAReport for mail that only answers ours."""
    if _is_delivery_status(octets, root):
        raise NotAReport("a delivery notification")
    parts = list(_parts(root))
    found, problem = _own(octets, parts)
    if not found:
        for message, inner in _forwarded(octets, parts):
            if not _is_delivery_status(message, inner):
                more, _ = _own(message, list(_parts(inner)), message[inner.header_start : inner.end])
                found += more
    if found:
        return found[:MAX_REPORTS]
    fields = collect_fields(octets[root.header_start : root.body_start])
    if any(unfold(value).lower().startswith(b"auto-replied") for value in fields.get(b"auto-submitted", ())):
        raise NotAReport("an automatic reply")
    raise problem


def _forwarded(octets: bytes, parts: list[Part]) -> Iterator[tuple[bytes, Part]]:
    """The mails that are attached, as a message or as a file of one, each with its tree of parts: offsets into the
    octets beside it."""
    for part in parts:
        leaf = _leaf(octets, part)
        is_message = leaf.type in (b"message/rfc822", b"message/global")
        # Some programs encode a message, which RFC 2046 §5.2.1 has no place for.
        if (is_message and leaf.encoding in (b"base64", b"quoted-printable")) or leaf.name.endswith(b".eml"):
            message = _decoded(leaf)
            yield message, parse_message(message).parts
        elif part.kind is PartKind.MESSAGE:
            yield octets, part.children[0]


def _own(octets: bytes, parts: list[Part], enclosing: bytes = b"") -> tuple[list[Found], ReportError]:
    """The reports in the parts, and why there is none."""
    leaves = [_leaf(octets, part) for part in parts]
    feedback = next((leaf for leaf in leaves if leaf.type == b"message/feedback-report"), None)
    if feedback is not None:
        message = next((leaf for leaf in leaves if leaf.type in _MESSAGE_TYPES), None)
        return [FailureParts(_decoded(feedback), _decoded(message) if message else b"", enclosing)], ReportError()
    problem = ReportError("there is no report in it")
    found: list[Found] = []
    for leaf in sorted(leaves, key=_is_unlikely):
        try:
            found += _files(leaf, enclosing)
        except ReportError as error:
            problem = error
    return found or list(_plain(leaves, enclosing)), problem


def _plain(leaves: list[_Leaf], enclosing: bytes) -> Iterator[FailureParts]:
    """A failure report that is text for people alone."""
    for leaf in leaves:
        if leaf.type == b"text/plain" and (parts := read_plain_report(_decoded(leaf))):
            yield FailureParts(*parts, enclosing)
            return


def _files(leaf: _Leaf, enclosing: bytes) -> list[Found]:
    """The reports in the part: as it says that it is encoded, else in base64 that it does not speak of."""
    for file in _readings(leaf):
        found: list[Found] = []
        for member in range(member_count(file)):
            if kind := _format(next(chunks(file, member), b"")):
                found.append(ReportFile(kind, file, member, enclosing))
        if found:
            return found
    return []


def _readings(leaf: _Leaf) -> Iterator[bytes]:
    yield _decoded(leaf)
    if leaf.encoding != b"base64" and not _is_unlikely(leaf) and _BASE64.fullmatch(leaf.body[:1000]):
        yield _from_base64(leaf.body)


def _is_delivery_status(octets: bytes, part: Part) -> bool:
    kind = content_type_of(collect_fields(octets[part.header_start : part.body_start]))
    report_type = (kind.parameter(b"report-type") or b"").lower()
    statuses = (b"delivery-status", b"global-delivery-status")
    return (kind.main, kind.sub) == (b"multipart", b"report") and report_type in statuses


def _parts(root: Part) -> Iterator[Part]:
    """The parts that hold something, in their order; of a nested message the whole."""
    waiting, count = [root], 0
    while waiting and count < MAX_PARTS:
        part = waiting.pop(0)
        if part.kind is PartKind.MULTIPART:
            waiting[:0] = part.children
            continue
        count += 1
        yield part


def _leaf(octets: bytes, part: Part) -> _Leaf:
    fields = collect_fields(octets[part.header_start : part.body_start])
    kind, name = content_type_of(fields), file_name_of(fields).lower()
    return _Leaf(kind.main + b"/" + kind.sub, encoding_of(fields), name, octets[part.body_start : part.end])


def _is_unlikely(leaf: _Leaf) -> bool:
    return not (leaf.type in _FILE_TYPES or leaf.name.endswith(_EXTENSIONS))


def _format(first: bytes) -> Format | None:
    """What a file holds, told from its first octets."""
    text = first[:1000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if text.startswith(b"<") and (b"<?xml" in text or b"feedback" in text) and b"<html" not in text.lower():
        return Format.DMARC
    return Format.TLS if text.startswith((b"{", b"[{")) else None


def _decoded(leaf: _Leaf) -> bytes:
    if leaf.encoding == b"base64":
        return _from_base64(leaf.body)
    return from_quoted_printable(leaf.body) if leaf.encoding == b"quoted-printable" else leaf.body


def _from_base64(octets: bytes) -> bytes:
    """Decoded a slice at a time, so that no call holds everybody up."""
    found, rest = bytearray(), b""
    for start in range(0, len(octets), _SLICE_OCTETS):
        decoded, rest = base64_part(rest + octets[start : start + _SLICE_OCTETS])
        found += decoded
    return bytes(found + from_base64(rest))
