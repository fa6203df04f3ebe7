"""One pass over a message's MIME structure: its tree of parts, and BODYSTRUCTURE and BODY ready to send.

    message: header, then the body its Content-Type names
      multipart: split at delimiter lines (RFC 2046 §5.1.1); each range is a part with header and body
      message/rfc822: the body is a message (RFC 2046 §5.2.1)
      all else: a leaf

An outer multipart is split before its parts are looked at, so an inner one can't run past its end. Each level searches
its own range once, in C. What lies past a bound is left out, whole parts and whole values at a time, and nothing else
changes for it: a multipart that is not looked into is one still, with all of its body as its only part, as plain text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mailsuite.mail.bounded_header import read_fields
from mailsuite.mail.envelope_structure import envelope_structure
from mailsuite.mail.header import MAX_HEADER_OCTETS, Fields, Octets, header_end, unfold
from mailsuite.mail.imap_string import NIL, imap_string
from mailsuite.mail.mime_fields import (
    MESSAGE_RFC822,
    TEXT_PLAIN,
    ContentType,
    Parameters,
    content_type_of,
    disposition_of,
    encoding_of,
    odd_octets,
    parse_languages,
)
from mailsuite.mail.structure import Part, PartKind

_COUNT_SLICE = 256 * 1024
_DELIMITER_TAIL = 200  # more white space than this after a boundary makes it no delimiter
_MAX_BOUNDARY_OCTETS = 998  # of a longer one no line can be (RFC 5322 §2.1.1)
_PART_OCTETS = 80  # what a part's description has at least


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds of what is described: levels of nesting, parts in all with the message itself, octets and fields of one
    header block, octets of the ENVELOPE and of the BODYSTRUCTURE (BODY is shorter), octets of address lists in the
    messages within, octets of MIME fields that are not of the usual shape, lines that begin like a delimiter but are
    none, and octets looked through for parts and lines, each as often as it is."""

    depth: int = 100
    parts: int = 10_001
    header_octets: int = MAX_HEADER_OCTETS
    fields: int = 50_000
    structure_octets: int = 4 * 1024 * 1024
    nested_address_octets: int = 1024 * 1024
    odd_octets: int = 1024 * 1024
    false_delimiters: int = 100_000
    searched_octets: int = 1024 * 1024 * 1024


class Structure(NamedTuple):
    """A part's tree, BODY and BODYSTRUCTURE."""

    part: Part
    body: bytes
    body_structure: bytes


class MessageStructure(NamedTuple):
    """A message's tree, BODY and BODYSTRUCTURE; `is_whole` unless something lies past a bound."""

    part: Part
    body: bytes
    body_structure: bytes
    is_whole: bool


class _Entity(NamedTuple):
    """A message or part whose header is read: octets[start:body_start] is its header block, `depth` its nesting."""

    header: Fields
    start: int
    body_start: int
    end: int
    depth: int


def read_structure(octets: Octets, header: Fields, body_start: int, limits: ParseLimits) -> MessageStructure:
    """Return the structure of the message whose header block has these fields and ends at `body_start`."""
    reader = _Reader(octets, limits)
    structure = reader.structure(_Entity(header, 0, body_start, len(octets), 0), TEXT_PLAIN)
    return MessageStructure(*structure, reader.is_whole)


class _Reader:
    """Reads one message; counts what its limits bound."""

    def __init__(self, octets: Octets, limits: ParseLimits) -> None:
        self._octets = octets
        self._limits = limits
        self._parts_left = limits.parts
        self._octets_left = limits.structure_octets
        self._false_delimiters_left = limits.false_delimiters
        self._address_octets_left = limits.nested_address_octets
        self._odd_octets_left = limits.odd_octets
        self._searched_left = limits.searched_octets
        self.is_whole = True

    def structure(self, entity: _Entity, default_type: ContentType) -> Structure:
        """Return the structure of a message or part and of all within it."""
        self._parts_left -= 1
        self._octets_left -= _PART_OCTETS
        odd = odd_octets(entity.header)
        self._odd_octets_left -= odd.octets
        self.is_whole = self.is_whole and odd.is_whole
        content_type = content_type_of(entity.header, default_type)
        if content_type.main == b"multipart":
            boundary = content_type.parameter(b"boundary")
            if boundary and len(boundary) <= _MAX_BOUNDARY_OCTETS:
                return self._multipart(entity, content_type, boundary)
            # Without a boundary nothing can be found in it, but it can be read
            return self._leaf(entity, TEXT_PLAIN)
        if content_type.main == b"message" and content_type.sub == b"rfc822":
            return self._message(entity, content_type)
        return self._leaf(entity, content_type)

    def _may_look_into(self, entity: _Entity) -> bool:
        """Whether what the part holds is described, which looks through its body."""
        self._searched_left -= entity.end - entity.body_start
        if entity.depth < self._limits.depth and self._has_room() and self._searched_left >= 0:
            return True
        self.is_whole = False
        return False

    def _has_room(self) -> bool:
        return self._parts_left > 0 and self._octets_left > 0 and self._odd_octets_left > 0

    def _nested(self, start: int, end: int, depth: int) -> _Entity:
        limits = self._limits
        body_start = header_end(self._octets, start, end)
        header, is_whole = read_fields(
            self._octets, start, body_start, max_octets=limits.header_octets, max_fields=limits.fields
        )
        self.is_whole = self.is_whole and is_whole
        return _Entity(header, start, body_start, end, depth)

    def _all_of_it(self, entity: _Entity) -> _Entity:
        """The body of what is not looked into, as a part without a header."""
        return _Entity({}, entity.body_start, entity.body_start, entity.end, entity.depth + 1)

    def _multipart(self, entity: _Entity, content_type: ContentType, boundary: bytes) -> Structure:
        header, start, body_start, end, _ = entity
        children = self._children(entity, content_type, boundary)
        subtype = imap_string(content_type.sub)
        return Structure(
            Part(PartKind.MULTIPART, start, body_start, end, tuple([child.part for child in children])),
            b"%b %b" % (b"".join([b"(%b)" % child.body for child in children]), subtype),
            b"%b %b %b %b"
            % (
                b"".join([b"(%b)" % child.body_structure for child in children]),
                subtype,
                self._parameters(content_type.parameters),
                self._disposition_language_location(header),
            ),
        )

    def _children(self, entity: _Entity, content_type: ContentType, boundary: bytes) -> list[Structure]:
        if not self._may_look_into(entity):
            return [self.structure(self._all_of_it(entity), TEXT_PLAIN)]
        default_type = MESSAGE_RFC822 if content_type.sub == b"digest" else TEXT_PLAIN
        # A multipart without a single part is none in IMAP's grammar: it gets an empty one, as other servers do
        ranges = self._split(boundary, entity.body_start, entity.end) or [(entity.end, entity.end)]
        children: list[Structure] = []
        for start, end in ranges:
            if children and not self._has_room():
                self.is_whole = False
                break
            children.append(self.structure(self._nested(start, end, entity.depth + 1), default_type))
        return children

    def _message(self, entity: _Entity, content_type: ContentType) -> Structure:
        header, start, body_start, end, depth = entity
        if self._may_look_into(entity):
            nested = self._nested(body_start, end, depth + 1)
        else:
            nested = self._all_of_it(entity)
        front = b"%b %b (" % (self._basic(content_type, header, end - body_start), self._envelope(nested.header))
        inner = self.structure(nested, TEXT_PLAIN)
        lines = _count_lines(self._octets, body_start, end)
        return Structure(
            Part(PartKind.MESSAGE, start, body_start, end, (inner.part,)),
            b"%b%b) %d" % (front, inner.body, lines),
            b"%b%b) %d%b" % (front, inner.body_structure, lines, self._extension(header)),
        )

    def _envelope(self, header: Fields) -> bytes:
        most = min(self._octets_left, self._address_octets_left)
        envelope, is_whole = envelope_structure(header, max(most, 0))
        self.is_whole = self.is_whole and is_whole
        self._octets_left -= len(envelope)
        self._address_octets_left -= sum(map(len, _addresses_of(header)))
        return envelope

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
                opened = end if line_end < 0 else line_end + 1
                if tail:
                    return ranges
                if len(ranges) >= self._parts_left:
                    self.is_whole = False
                    return ranges
                after = max(opened - 1, after)
            else:
                self._false_delimiters_left -= 1
                if self._false_delimiters_left < 0:
                    self.is_whole = False
                    break
            at = octets.find(needle, after, end)
        if opened >= 0:
            ranges.append((opened, end))
        return ranges

    def _leaf(self, entity: _Entity, content_type: ContentType) -> Structure:
        header, start, body_start, end, _ = entity
        body = self._basic(content_type, header, end - body_start)
        if content_type.main == b"text":
            body = b"%b %d" % (body, _count_lines(self._octets, body_start, end))
        return Structure(Part(PartKind.SINGLE, start, body_start, end), body, body + self._extension(header))

    def _basic(self, content_type: ContentType, header: Fields, size: int) -> bytes:
        """Type, subtype and body-fields of RFC 3501 §9."""
        return b"%b %b %b %b %b %b %d" % (
            imap_string(content_type.main),
            imap_string(content_type.sub),
            self._parameters(content_type.parameters),
            self._text(header, b"content-id"),
            self._text(header, b"content-description"),
            imap_string(encoding_of(header)),
            size,
        )

    def _extension(self, header: Fields) -> bytes:
        """body-fld-md5, as the sender wrote it (RFC 1864), and what follows it."""
        return b" %b %b" % (self._text(header, b"content-md5"), self._disposition_language_location(header))

    def _disposition_language_location(self, header: Fields) -> bytes:
        disposition = NIL
        if parsed := disposition_of(header):
            disposition = b"(%b %b)" % (imap_string(parsed[0]), self._parameters(parsed[1]))
        elif b"content-language" not in header and b"content-location" not in header:
            return b"NIL NIL NIL"
        return b"%b %b %b" % (disposition, self._language(header), self._text(header, b"content-location"))

    def _language(self, header: Fields) -> bytes:
        values = header.get(b"content-language")
        strings = self._fitting([imap_string(tag) for tag in parse_languages(unfold(values[0]))] if values else [])
        if len(strings) > 1:
            return b"(%b)" % b" ".join(strings)
        return strings[0] if strings else NIL

    def _parameters(self, parameters: Parameters) -> bytes:
        if not parameters:
            return NIL
        pairs = self._fitting([b"%b %b" % (imap_string(name), imap_string(value)) for name, value in parameters])
        return b"(%b)" % b" ".join(pairs) if pairs else NIL

    def _text(self, header: Fields, name: bytes) -> bytes:
        values = header.get(name)
        strings = self._fitting([imap_string(unfold(values[0]))]) if values else []
        return strings[0] if strings else NIL

    def _fitting(self, strings: Sequence[bytes]) -> Sequence[bytes]:
        """Those for which there is room."""
        octets = sum(map(len, strings))
        if octets <= self._octets_left:
            self._octets_left -= octets
            return strings
        self.is_whole = False
        return [string for string in strings if self._fits(string)]

    def _fits(self, string: bytes) -> bool:
        if len(string) > self._octets_left:
            return False
        self._octets_left -= len(string)
        return True


def _addresses_of(header: Fields) -> list[bytes]:
    return [value for name in (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc") for value in header.get(name, ())]


def _count_lines(octets: Octets, start: int, end: int) -> int:
    if isinstance(octets, bytes):
        return octets.count(b"\n", start, end)
    return sum(octets[at : min(at + _COUNT_SLICE, end)].count(b"\n") for at in range(start, end, _COUNT_SLICE))
