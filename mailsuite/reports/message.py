"""What a mail to a report address holds: its report's file, or the parts of a failure report. Pure."""

import binascii
import quopri
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from mailsuite.mail.header import collect_fields, unfold
from mailsuite.mail.mime_fields import content_type_of, encoding_of, file_name_of
from mailsuite.mail.structure import Part, PartKind
from mailsuite.mailauth.report_file import ReportError, chunks, is_packed

MAX_PARTS = 20
_SLICE_OCTETS = 192 * 1024
_FILE_TYPES = {
    b"application/gzip", b"application/x-gzip", b"application/zip", b"application/x-zip-compressed",
    b"application/tlsrpt+gzip", b"application/tlsrpt+json", b"text/xml", b"application/xml", b"application/json",
    b"application/octet-stream",
}  # fmt: skip
_EXTENSIONS = (b".gz", b".gzip", b".zip", b".xml", b".json")
_MESSAGE_TYPES = {b"message/rfc822", b"message/global", b"text/rfc822-headers", b"message/global-headers"}


class Format(Enum):
    """What a report's file turns out to be."""

    DMARC = "dmarc"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """The file, still packed, and what it holds: the first that is a report, whatever it is called."""

    format: Format
    octets: bytes


@dataclass(frozen=True, slots=True)
class FailureParts:
    """A failure report's fields, and the message it is about or that message's header."""

    feedback: bytes
    message: bytes


class NotAReport(Exception):
    """The mail is none, and nobody expects one to be: a bounce, an automatic reply."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    type: bytes
    encoding: bytes
    name: bytes
    body: bytes


def find_report(octets: bytes, root: Part) -> ReportFile | FailureParts:
    """The report in the message. Raises ReportError when there is none, NotAReport for mail that only answers ours."""
    fields = collect_fields(octets[root.header_start : root.body_start])
    kind = content_type_of(fields)
    report_type = (kind.parameter(b"report-type") or b"").lower()
    if (kind.main, kind.sub) == (b"multipart", b"report") and report_type in (
        b"delivery-status",
        b"global-delivery-status",
    ):
        raise NotAReport("a delivery notification")
    leaves = list(_leaves(octets, root))
    feedback = next((leaf for leaf in leaves if leaf.type == b"message/feedback-report"), None)
    if feedback is not None:
        message = next((leaf for leaf in leaves if leaf.type in _MESSAGE_TYPES), None)
        return FailureParts(_decoded(feedback), _decoded(message) if message else b"")
    problem = ReportError("there is no report in it")
    for leaf in sorted(leaves, key=_is_unlikely):
        file = _decoded(leaf)
        try:
            if found := _format(file):
                return ReportFile(found, file)
        except ReportError as error:
            problem = error
    if any(unfold(value).lower().startswith(b"auto-replied") for value in fields.get(b"auto-submitted", ())):
        raise NotAReport("an automatic reply")
    raise problem


def _leaves(octets: bytes, root: Part) -> Iterator[_Leaf]:
    """The parts that hold something, in their order; of a nested message the whole."""
    waiting, count = [root], 0
    while waiting and count < MAX_PARTS:
        part = waiting.pop(0)
        if part.kind is PartKind.MULTIPART:
            waiting[:0] = part.children
            continue
        count += 1
        fields = collect_fields(octets[part.header_start : part.body_start])
        kind, name = content_type_of(fields), file_name_of(fields).lower()
        yield _Leaf(kind.main + b"/" + kind.sub, encoding_of(fields), name, octets[part.body_start : part.end])


def _is_unlikely(leaf: _Leaf) -> bool:
    return not (leaf.type in _FILE_TYPES or leaf.name.endswith(_EXTENSIONS))


def _format(file: bytes) -> Format | None:
    """What the file holds, told from its first octets. Raises ReportError when it can't be unpacked so far."""
    first = next(chunks(file), b"") if is_packed(file) else file[:1000]
    text = first[:1000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if text.startswith(b"<") and (b"<?xml" in text or b"feedback" in text):
        return Format.DMARC
    return Format.TLS if text.startswith(b"{") else None


def _decoded(leaf: _Leaf) -> bytes:
    if leaf.encoding == b"base64":
        return _from_base64(leaf.body)
    return quopri.decodestring(leaf.body) if leaf.encoding == b"quoted-printable" else leaf.body


def _from_base64(octets: bytes) -> bytes:
    """Decoded a slice at a time, so that no call holds everybody up; what follows the first nonsense is lost."""
    found, rest = bytearray(), b""
    for start in range(0, len(octets), _SLICE_OCTETS):
        piece = rest + octets[start : start + _SLICE_OCTETS].translate(None, b" \t\r\n")
        whole = len(piece) - len(piece) % 4
        rest = piece[whole:]
        try:
            found += binascii.a2b_base64(piece[:whole])
        except binascii.Error:
            break
    return bytes(found)
