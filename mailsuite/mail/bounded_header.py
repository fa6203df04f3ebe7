"""The fields of a header block of any size, read within bounds of memory and time.

A limit leaves out what lies beyond it and never changes what the mail is: of a block beyond the bounds the fields in
front are read, and behind them the first of each that says what the message is, wherever it stands. One that is too
long ends where one of its addresses or words does.
"""

import re
from itertools import chain
from typing import NamedTuple

from mailsuite.mail.header import FIELD_START, Fields, Octets, collect_fields
from mailsuite.mail.parsed_header import Header

_TELLING = (
    *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references"),
    *("content-type", "content-transfer-encoding", "content-disposition", "content-id"),
)
_NAME = rb"(%b)[ \t]*+:" % "|".join(_TELLING).encode()
_TELLING_FIRST = re.compile(_NAME, re.IGNORECASE)
_TELLING_FIELD = re.compile(rb"\n" + _NAME, re.IGNORECASE)
_MAX_LOOKED_AT = 1_000  # fields of these names, behind the bounds
_MAX_SEARCHED = 16 * 1024 * 1024  # octets are looked through for them
_ENDS = (b">,", b",", b" ")
_LONGEST_ENTRY = 2_000  # octets of a list's entry: a comma further back is one that few others have


def cut_value(value: bytes, most: int) -> bytes:
    """Return at most so many octets of a value, up to the end of an address of a list, or else of a word."""
    if len(value) <= most:
        return value
    lowest = max(most - _LONGEST_ENTRY, 0)
    cut = next((at for end in _ENDS if (at := value.rfind(end, lowest, most)) > 0), most - 1)
    return value[: cut + 1].rstrip(b", ")


class BoundedFields(NamedTuple):
    """Raw values by lower-case name, and whether they are all that the block has."""

    fields: Fields
    is_whole: bool


def read_fields(octets: Octets, start: int, end: int, *, max_octets: int, max_fields: int) -> BoundedFields:
    """Return the fields of the block octets[start:end]: all of them up to `max_octets` and `max_fields`; none where
    `max_octets` is 0."""
    if max_octets == 0:
        return BoundedFields({}, start == end)
    block = octets[start : min(end, start + max_octets)]
    is_within = len(block) == end - start
    if is_within and block.count(b"\n") <= max_fields:
        return BoundedFields(collect_fields(block), True)
    pieces = FIELD_START.split(block, max_fields)
    if is_within and len(pieces) <= max_fields:
        return BoundedFields(collect_fields(block), True)
    kept = len(block) - len(pieces[-1])
    fields = collect_fields(block[:kept])
    _add_telling(fields, octets, start + kept, end, max_octets // 2)
    return BoundedFields(fields, False)


def bounded(header: Header, *, max_octets: int, max_fields: int) -> BoundedFields:
    """Return the fields of a header that was parsed, and whether they are all that it has, within the bounds that
    `read_fields` keeps: the header itself where it is within them."""
    if max_octets and header.size_octets <= max_octets and header.field_count() < max_fields:
        return BoundedFields(header, True)
    return read_fields(header.block, 0, header.size_octets, max_octets=max_octets, max_fields=max_fields)


def _add_telling(fields: dict[bytes, list[bytes]], octets: Octets, start: int, end: int, most: int) -> None:
    """Add the fields that tell most and are missing, each with at most so many octets."""
    first = _TELLING_FIRST.match(octets, 0, end) if start == 0 else None
    found = _TELLING_FIELD.finditer(octets, max(start - 1, 0), min(end, start + _MAX_SEARCHED))
    for count, match in enumerate(chain((first,) if first else (), found)):
        if count == _MAX_LOOKED_AT:
            break
        name = match[1].lower()
        if name not in fields:
            fields[name] = [_value(octets, match.end(), end, most)]


def _value(octets: Octets, start: int, end: int, most: int) -> bytes:
    stop = min(end, start + most)
    if match := FIELD_START.search(octets, start, stop):
        return octets[start : match.start()]
    return octets[start:end] if stop == end else cut_value(octets[start : stop + 1], most)
