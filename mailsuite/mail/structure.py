"""The tree of a message's MIME parts as offsets into its octets, and what an IMAP section means in it.

Offsets are absolute, so that every section (RFC 3501 §6.4.5) is a slice of the stored blob. The tree is kept beside
the message in a compact form: one record per part in pre-order, numbers as LEB128.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple


class PartKind(IntEnum):
    """What a part holds; the numbers are stored."""

    SINGLE = 0
    MULTIPART = 1
    MESSAGE = 2  # message/rfc822, with the nested message as its only child


# A tree of more is kept.
_MANY_OCTETS = 4 * 1024
_KINDS = tuple(PartKind)


class Part(NamedTuple):
    """One part: its header block is octets[header_start:body_start], its body octets[body_start:end]. Of a message
    the header is the message's own; of a nested message the Part stands twice, as part and as message inside it."""

    kind: PartKind
    header_start: int
    body_start: int
    end: int
    children: tuple["Part", ...] = ()


def encode_parts(root: Part) -> bytes:
    """Return the tree in the form that is stored."""
    out = bytearray()
    _encode(root, out)
    return bytes(out)


def decode_parts(encoded: bytes) -> Part:
    """Return the tree that `encode_parts` wrote. Raises ValueError when the octets are no such tree. That of a message
    with many parts is kept for a while: they are asked for one after the other."""
    return _decoded(encoded) if len(encoded) < _MANY_OCTETS else _kept(encoded)


def _decoded(encoded: bytes) -> Part:
    numbers = _numbers(encoded)
    try:
        part, at = _decode(numbers, 0)
    except (IndexError, RecursionError) as error:
        raise ValueError("not a stored tree of parts") from error
    if at != len(numbers):
        raise ValueError("octets after a stored tree of parts")
    return part


_kept = lru_cache(maxsize=4)(_decoded)


def shifted(root: Part, octets: int) -> Part:
    """Return the tree for the same message with so many octets more in front of it."""
    return Part(
        root.kind,
        root.header_start + octets,
        root.body_start + octets,
        root.end + octets,
        tuple(shifted(child, octets) for child in root.children),
    )


def find_part(root: Part, path: Sequence[int]) -> Part | None:
    """Return the part with this section number, such as (1, 2) for `1.2`, or None (RFC 3501 §6.4.5).

    A multipart's children are numbered from 1. What is no multipart is its own part 1; a nested message takes the
    numbers of its body's parts.
    """
    part, node, is_message = None, root, True
    for number in path:
        if node.kind is PartKind.MULTIPART and 1 <= number <= len(node.children):
            part = node.children[number - 1]
        elif is_message and node.kind is not PartKind.MULTIPART and number == 1:
            part = node
        else:
            return None
        is_message = part.kind is PartKind.MESSAGE
        node = part.children[0] if is_message else part
    return part


def section_range(root: Part, path: Sequence[int], text: str | None) -> tuple[int, int] | None:
    """Return (start, end) of the section, or None when the message has no such section (RFC 3501 §6.4.5).

    `path` is empty for the message itself; `text` is HEADER, TEXT, MIME or None for the whole message or part body.
    """
    if not path:
        return _message_range(root, text)
    part = find_part(root, path)
    if part is None:
        return None
    if text is None:
        return part.body_start, part.end
    if text == "MIME":
        return part.header_start, part.body_start
    return _message_range(part.children[0], text) if part.kind is PartKind.MESSAGE else None


def _message_range(message: Part, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return message.header_start, message.end
    if text == "HEADER":
        return message.header_start, message.body_start
    return (message.body_start, message.end) if text == "TEXT" else None


def _encode(part: Part, out: bytearray) -> None:
    header = part.body_start - part.header_start
    for number in (part.kind | len(part.children) << 2, part.header_start, header, part.end - part.body_start):
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    for child in part.children:
        _encode(child, out)


def _numbers(encoded: bytes) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for octet in encoded:
        number |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("a stored tree of parts that is cut")
    return numbers


def _decode(numbers: Sequence[int], at: int) -> tuple[Part, int]:
    """Return the part whose record begins at this index, and the index behind all within it."""
    head, header_start, header, body = numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]
    at += 4
    children = []
    for _ in range(head >> 2):
        child, at = _decode(numbers, at)
        children.append(child)
    body_start = header_start + header
    return Part(_KINDS[head & 3], header_start, body_start, body_start + body, tuple(children)), at
