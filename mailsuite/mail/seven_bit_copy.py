"""A message as 7-bit text, for who can't take 8-bit (RFC 6152 §3): parts are encoded (RFC 2045 §6), header fields that
hold 8-bit text are written in ASCII (mailsuite.mail.ascii_fields).

Bodies that are ASCII stay octet for octet, and so does what a signature within the message covers (RFC 1847 §2.1), its
fields included; what stands beside it, such as a note in front or the signature itself, is encoded like all else. Where
8-bit text is signed, or encoded already and broken, there is no 7-bit copy: those who sign are told to encode first
(RFC 3156 §3, RFC 8551 §3.1.2). A signature over the whole message is worthless on the copy; to sign that anew is the
caller's.
"""

import binascii
import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from mailsuite.mail.ascii_fields import NotConvertible as NotConvertible
from mailsuite.mail.ascii_fields import ascii_field
from mailsuite.mail.body_structure import ParseLimits, read_structure
from mailsuite.mail.header import Octets, collect_fields, header_end, split_fields, unfold
from mailsuite.mail.mime_fields import content_type_of, encoding_of, parse_encoding
from mailsuite.mail.structure import Part, PartKind
from mailsuite.mail.transfer_encoding import quoted_printable

LIMITS = ParseLimits()
_BASE64_LINE_OCTETS = 57
# How much is encoded at once: whole lines of base64.
PIECE_OCTETS = 1_700 * _BASE64_LINE_OCTETS
_EIGHT_BIT = frozenset({b"8bit", b"binary"})
_IDENTITY = _EIGHT_BIT | {b"7bit"}
_QUESTION_MARKS = bytes(octet if octet < 128 else ord("?") for octet in range(256))
_ESCAPES = [bytes([octet]) if octet < 128 else b"=%02X" % octet for octet in range(256)]


@dataclass(frozen=True, slots=True)
class SevenBitCopy:
    """`header` with its blank line; `body` can be read once, in pieces, while the original is at hand."""

    header: bytes
    body: Iterator[bytes]


def seven_bit_copy(octets: Octets) -> SevenBitCopy:
    """Return the copy of a message whose lines end with CRLF. Raises NotConvertible."""
    body_start = header_end(octets, 0, len(octets))
    if body_start > LIMITS.header_octets:
        raise NotConvertible("its header is too large")
    structure = read_structure(octets, collect_fields(octets[:body_start]), body_start, LIMITS)
    if not structure.is_whole:
        raise NotConvertible("its structure is too complex")
    copying = _Copying(octets)
    copying.add(structure.part, is_message=True)
    header, *pieces = copying.pieces
    return SevenBitCopy(b"".join(header), (some for piece in pieces for some in piece if some))


class _Copying:
    """Gathers what the copy consists of, each an iterable that encodes when it is read."""

    def __init__(self, octets: Octets) -> None:
        self._octets = octets
        self.pieces: list[Iterator[bytes]] = []

    def add(self, part: Part, *, is_message: bool) -> None:
        """Add the header, as its body then demands, and the body."""
        at = len(self.pieces)
        block = self._octets[part.header_start : part.body_start]
        fields = collect_fields(block)
        content_type = content_type_of(fields)
        self.pieces.append(iter(()))
        additions: list[bytes] = []
        match part.kind:
            case PartKind.SINGLE:
                additions = self._add_leaf(part, fields, is_text=content_type.main in (b"text", b"message"))
            case PartKind.MULTIPART:
                if not (content_type.parameter(b"boundary") or b"").isascii():  # as `boundary*` may be (RFC 2231 §4)
                    raise NotConvertible("its parts are told apart by lines that are 8-bit")
                self._add_children(part, is_signed=content_type.sub == b"signed")
            case PartKind.MESSAGE:
                self.add(part.children[0], is_message=True)
        if additions and is_message and b"mime-version" not in fields:
            additions.append(b"MIME-Version: 1.0\r")
        self.pieces[at] = iter([_rewritten(block, additions)])

    def _add_leaf(self, part: Part, fields: dict[bytes, list[bytes]], *, is_text: bool) -> list[bytes]:
        """Return the fields that tell how the body is encoded; none where it is as it was."""
        span = part.body_start, part.end
        if self._is_ascii(*span):
            self.pieces.append(self._slices(*span))
            return []
        encoding = encoding_of(fields)
        if encoding == b"quoted-printable":
            self.pieces.append(b"".join(map(_ESCAPES.__getitem__, some)) for some in self._slices(*span))
            return [b"Content-Transfer-Encoding: quoted-printable\r"]
        if encoding not in _IDENTITY:
            raise NotConvertible("a part of it is not what it is said to be encoded in")
        self.pieces.append(self._quoted_printable(*span) if is_text else self._base64(*span))
        additions = [b"Content-Transfer-Encoding: %b\r" % (b"quoted-printable" if is_text else b"base64")]
        if b"content-type" not in fields:
            charset = b"utf-8" if self._is_utf8(*span) else b"unknown-8bit"  # RFC 1428 §3
            additions.append(b"Content-Type: text/plain; charset=%b\r" % charset)
        return additions

    def _add_children(self, part: Part, *, is_signed: bool) -> None:
        """Add the parts; of signed ones the first, which is what is signed, stays as it is."""
        at = part.body_start
        for child in part.children:
            self._add_between(at, child.header_start)
            if is_signed and child is part.children[0]:
                self._add_signed(child)
            else:
                self.add(child, is_message=False)
            at = child.end
        self._add_between(at, part.end)

    def _add_signed(self, part: Part) -> None:
        if not self._is_ascii(part.header_start, part.end):
            raise NotConvertible("its writer has signed a part that is 8-bit, and the copy's signature would be broken")
        self.pieces.append(self._slices(part.header_start, part.end))

    def _add_between(self, start: int, end: int) -> None:
        """Add delimiters, and what nobody reads before and behind them (RFC 2046 §5.1.1)."""
        self.pieces.append(some.translate(_QUESTION_MARKS) for some in self._slices(start, end))

    def _slices(self, start: int, end: int) -> Iterator[bytes]:
        return (self._octets[at : min(at + PIECE_OCTETS, end)] for at in range(start, end, PIECE_OCTETS))

    def _is_ascii(self, start: int, end: int) -> bool:
        return all(some.isascii() for some in self._slices(start, end))

    def _is_utf8(self, start: int, end: int) -> bool:
        decode = codecs.getincrementaldecoder("utf-8")().decode
        try:
            for some in self._slices(start, end):
                decode(some)
            decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True

    def _quoted_printable(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = self._octets[start : min(start + PIECE_OCTETS, end)]
            if start + len(piece) < end:
                piece = piece[: piece.rfind(b"\n") + 1] or piece.removesuffix(b"\r")
            start += len(piece)
            # A line longer than a piece goes on behind a soft line end.
            yield quoted_printable(piece) + (b"" if piece.endswith(b"\n") or start == end else b"=\r\n")

    def _base64(self, start: int, end: int) -> Iterator[bytes]:
        for some in self._slices(start, end):
            lines = (some[at : at + _BASE64_LINE_OCTETS] for at in range(0, len(some), _BASE64_LINE_OCTETS))
            yield b"".join(binascii.b2a_base64(line, newline=False) + b"\r\n" for line in lines)


def _rewritten(block: bytes, additions: list[bytes]) -> bytes:
    """The header block in ASCII, with these fields at its end; they take the place of what it said of its encoding."""
    kept: list[bytes] = []
    for field in split_fields(block):
        name, _, value = field.partition(b":")
        if not field.strip(b"\r"):
            kept, additions = [*kept, *additions], []
        elif name.rstrip().lower() == b"content-transfer-encoding":
            if additions:
                continue
            if parse_encoding(unfold(value)) in _EIGHT_BIT:
                field = b"Content-Transfer-Encoding: 7bit\r"
        kept.append(field if field.isascii() else ascii_field(field))
    return b"\n".join(kept)
