"""One pass over a message's MIME structure: its tree of parts, and BODYSTRUCTURE and BODY ready to send.

    message: header, then the body its Content-Type names
      multipart: split at delimiter lines (RFC 2046 §5.1.1); each range is a part with header and body
      message/rfc822: the body is a message (RFC 2046 §5.2.1)
      all else: a leaf

An outer multipart is split before its parts are looked at, so an inner one can't run past its end. Each level searches
its own range once, in C; depth is bounded, so the whole is linear in the message's size. Past a bound TooComplex is
raised, and the caller takes `plain_structure` instead.
"""

from dataclasses import dataclass
from typing import NamedTuple

from mailsuite.mail.envelope_structure import envelope_structure
from mailsuite.mail.header import Fields, Octets, collect_fields, header_end, unfold
from mailsuite.mail.imap_string import NIL, imap_nstring, imap_string
from mailsuite.mail.mime_fields import (
    MESSAGE_RFC822,
    TEXT_PLAIN,
    ContentType,
    Parameters,
    content_type_of,
    disposition_of,
    encoding_of,
    parse_languages,
)
from mailsuite.mail.structure import Part, PartKind

_COUNT_SLICE = 256 * 1024
_DELIMITER_TAIL = 200  # more white space than this after a boundary makes it no delimiter


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds past which a message gets a plain structure: levels of nesting, parts in all, octets and fields of one
    header block, octets of the BODYSTRUCTURE, and lines that begin like a delimiter but are none."""

    depth: int = 50
    parts: int = 1_000
    header_octets: int = 256 * 1024
    fields: int = 2_000
    structure_octets: int = 1024 * 1024
    false_delimiters: int = 10_000


class TooComplex(Exception):
    """The message goes past one of ParseLimits."""


class Structure(NamedTuple):
    """A part's tree, BODY and BODYSTRUCTURE."""

    part: Part
    body: bytes
    body_structure: bytes


class _Entity(NamedTuple):
    """A message or part whose header is read: octets[start:body_start] is its header block, `depth` its nesting."""

    header: Fields
    start: int
    body_start: int
    end: int
    depth: int


def read_structure(octets: Octets, header: Fields, body_start: int, limits: ParseLimits) -> Structure:
    """Return the structure of the message whose header block has these fields and ends at `body_start`. Raises
    TooComplex."""
    return _Reader(octets, limits).structure(_Entity(header, 0, body_start, len(octets), 0), TEXT_PLAIN)


def plain_structure(octets: Octets, body_start: int) -> Structure:
    """Return the structure of a message read as nothing but plain text."""
    return _leaf(octets, TEXT_PLAIN, _Entity({}, 0, body_start, len(octets), 0))


class _Reader:
    """Reads one message; counts what its limits bound."""

    def __init__(self, octets: Octets, limits: ParseLimits) -> None:
        self._octets = octets
        self._limits = limits
        self._parts_left = limits.parts
        self._false_delimiters_left = limits.false_delimiters

    def structure(self, entity: _Entity, default_type: ContentType) -> Structure:
        """Return the structure of a message or part and of all within it."""
        self._parts_left -= 1
        if self._parts_left < 0 or entity.depth > self._limits.depth:
            raise TooComplex
        content_type = content_type_of(entity.header, default_type)
        if content_type.main == b"multipart":
            boundary = content_type.parameter(b"boundary")
            # Without a boundary nothing can be found in it, but it can be read
            result = self._multipart(entity, content_type, boundary) if boundary else self._plain(entity)
        elif content_type.main == b"message" and content_type.sub == b"rfc822":
            result = self._message(entity, content_type)
        else:
            result = _leaf(self._octets, content_type, entity)
        if len(result.body_structure) > self._limits.structure_octets:
            raise TooComplex
        return result

    def _plain(self, entity: _Entity) -> Structure:
        return _leaf(self._octets, TEXT_PLAIN, entity)

    def _nested(self, start: int, end: int, depth: int) -> _Entity:
        body_start = header_end(self._octets, start, end)
        if body_start - start > self._limits.header_octets:
            raise TooComplex
        header = collect_fields(self._octets[start:body_start])
        if sum(map(len, header.values())) > self._limits.fields:
            raise TooComplex
        return _Entity(header, start, body_start, end, depth)

    def _multipart(self, entity: _Entity, content_type: ContentType, boundary: bytes) -> Structure:
        header, start, body_start, end, depth = entity
        default_type = MESSAGE_RFC822 if content_type.sub == b"digest" else TEXT_PLAIN
        # A multipart without a single part is none in IMAP's grammar: it gets an empty one, as other servers do
        ranges = self._split(boundary, body_start, end) or [(end, end)]
        children = [self.structure(self._nested(at, until, depth + 1), default_type) for at, until in ranges]
        subtype = imap_string(content_type.sub)
        return Structure(
            Part(PartKind.MULTIPART, start, body_start, end, tuple([child.part for child in children])),
            b"%b %b" % (b"".join([b"(%b)" % child.body for child in children]), subtype),
            b"%b %b %b %b"
            % (
                b"".join([b"(%b)" % child.body_structure for child in children]),
                subtype,
                _parameters(content_type.parameters),
                _disposition_language_location(header),
            ),
        )

    def _message(self, entity: _Entity, content_type: ContentType) -> Structure:
        header, start, body_start, end, depth = entity
        nested = self._nested(body_start, end, depth + 1)
        inner = self.structure(nested, TEXT_PLAIN)
        front = b"%b %b (" % (_basic(content_type, header, end - body_start), envelope_structure(nested.header))
        lines = _count_lines(self._octets, body_start, end)
        return Structure(
            Part(PartKind.MESSAGE, start, body_start, end, (inner.part,)),
            b"%b%b) %d" % (front, inner.body, lines),
            b"%b%b) %d%b" % (front, inner.body_structure, lines, _extension(header)),
        )

    def _split(self, boundary: bytes, start: int, end: int) -> list[tuple[int, int]]:
        """Return the range of each part between delimiter lines; the line end before a delimiter belongs to it
        (RFC 2046 §5.1.1). Without a close delimiter the last part ends where the multipart does."""
        octets = self._octets
        needle = b"\n--" + boundary
        ranges: list[tuple[int, int]] = []
        opened = -1
        at = octets.find(needle, max(start - 1, 0), end)
        while at >= 0:
            after = at + len(needle)
            line_end = octets.find(b"\n", after, end)
            tail = octets[after : min(end if line_end < 0 else line_end, after + _DELIMITER_TAIL)].rstrip(b" \t\r")
            if tail in (b"", b"--"):
                if opened >= 0:
                    before = at - 1 if octets[at - 1 : at] == b"\r" else at
                    ranges.append((opened, max(before, opened)))
                    if len(ranges) > self._limits.parts:
                        raise TooComplex
                opened = end if line_end < 0 else line_end + 1
                if tail:
                    return ranges
                after = max(opened - 1, after)
            else:
                self._false_delimiters_left -= 1
                if self._false_delimiters_left < 0:
                    raise TooComplex
            at = octets.find(needle, after, end)
        if opened >= 0:
            ranges.append((opened, end))
        return ranges


def _leaf(octets: Octets, content_type: ContentType, entity: _Entity) -> Structure:
    header, start, body_start, end, _ = entity
    body = _basic(content_type, header, end - body_start)
    if content_type.main == b"text":
        body = b"%b %d" % (body, _count_lines(octets, body_start, end))
    return Structure(Part(PartKind.SINGLE, start, body_start, end), body, body + _extension(header))


def _basic(content_type: ContentType, header: Fields, size: int) -> bytes:
    """Type, subtype and body-fields of RFC 3501 §9."""
    return b"%b %b %b %b %b %b %d" % (
        imap_string(content_type.main),
        imap_string(content_type.sub),
        _parameters(content_type.parameters),
        _text(header, b"content-id"),
        _text(header, b"content-description"),
        imap_string(encoding_of(header)),
        size,
    )


def _extension(header: Fields) -> bytes:
    """body-fld-md5, as the sender wrote it (RFC 1864), and what follows it."""
    return b" %b %b" % (_text(header, b"content-md5"), _disposition_language_location(header))


def _disposition_language_location(header: Fields) -> bytes:
    disposition = NIL
    if parsed := disposition_of(header):
        disposition = b"(%b %b)" % (imap_string(parsed[0]), _parameters(parsed[1]))
    elif b"content-language" not in header and b"content-location" not in header:
        return b"NIL NIL NIL"
    return b"%b %b %b" % (disposition, _language(header), _text(header, b"content-location"))


def _language(header: Fields) -> bytes:
    values = header.get(b"content-language")
    strings = list(map(imap_string, parse_languages(unfold(values[0])))) if values else []
    if len(strings) > 1:
        return b"(%b)" % b" ".join(strings)
    return strings[0] if strings else NIL


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return NIL
    return b"(%b)" % b" ".join([b"%b %b" % (imap_string(name), imap_string(value)) for name, value in parameters])


def _text(header: Fields, name: bytes) -> bytes:
    values = header.get(name)
    return imap_nstring(unfold(values[0])) if values else NIL


def _count_lines(octets: Octets, start: int, end: int) -> int:
    if isinstance(octets, bytes):
        return octets.count(b"\n", start, end)
    return sum(octets[at : min(at + _COUNT_SLICE, end)].count(b"\n") for at in range(start, end, _COUNT_SLICE))
