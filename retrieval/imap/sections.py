"""Where a section of a message lies (RFC 3501 §6.4.5), for messages whose octets are in the store."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from mailsuite.mail.header import MAX_HEADER_OCTETS, header_fields
from mailsuite.mail.structure import decode_parts, section_range
from retrieval.imap.fetch_items import Section
from retrieval.mail_store import MailStore
from retrieval.mail_values import MessageRow, RowField
from retrieval.pace import STEP_OCTETS, Pace

CHUNK_OCTETS = 256 * 1024
# What the tree of parts costs to read, by its octets.
PARTS_COST = 8
# A pattern of more names costs more at each line than a look into a set of them.
MAX_PATTERN_FIELDS = 30


class Slice(NamedTuple):
    """Octets of the message as served, still to be read."""

    start: int
    end: int


def section_fields(section: Section) -> set[RowField]:
    """Return the row's fields that `find_section` needs."""
    if section.path or section.text == "TEXT":
        return {"parts"}
    return {"header", "parts"} if section.text else set()


async def find_section(store: MailStore, row: MessageRow, section: Section, pace: Pace) -> bytes | Slice | None:
    """Return the section: its octets when they are at hand, where they lie when not, None when the message has none.
    What `partial` cuts is cut already."""
    if row.header is not None and section.is_own_header:
        await pace.spend(len(row.header))
        return header_reader(section)(row.header)
    span = _span(row, section)
    await pace.spend(STEP_OCTETS + PARTS_COST * len(row.parts or b""))
    if span is None:
        return None
    if not section.fields:
        start, end = _cut(span.start, span.end, section.partial)
        return Slice(start, end) if start < end else b""
    block = await _beginning(store, row, span)
    await pace.spend(len(block))
    return header_reader(section)(block)


async def header_block(store: MailStore, row: MessageRow) -> bytes:
    """Return the message's own header block, of a large one the beginning; the row has `header` and `parts`."""
    if row.header is not None:
        return row.header
    span = _span(row, Section(b"", text="HEADER"))
    return b"" if span is None else await _beginning(store, row, span)


async def _beginning(store: MailStore, row: MessageRow, span: Slice) -> bytes:
    """The header block that lies there; of one that is too long the lines that are whole."""
    end = min(span.end, span.start + MAX_HEADER_OCTETS)
    block = await store.octets(row, span.start, end)
    return block if end == span.end else block[: block.rfind(b"\n") + 1]


@lru_cache(maxsize=64)
def header_reader(section: Section) -> Callable[[bytes], bytes]:
    """Return what takes a HEADER section, all of it or some fields, from the header block."""
    pick = _picker(section)
    if section.partial is None:
        return pick

    def cut(block: bytes) -> bytes:
        picked = pick(block)
        start, end = _cut(0, len(picked), section.partial)
        return picked[start:end]

    return cut


def _picker(section: Section) -> Callable[[bytes], bytes]:
    if section.text == "HEADER":
        return lambda block: block
    if section.text == "HEADER.FIELDS.NOT" or len(section.fields) > MAX_PATTERN_FIELDS:
        names = frozenset(name.lower() for name in section.fields)
        return lambda block: header_fields(block, names, exclude=section.text == "HEADER.FIELDS.NOT")
    # Opening a folder asks for some fields of every message: one pattern takes half the time of splitting the block.
    either = b"|".join(map(re.escape, section.fields))
    find = re.compile(rb"^(?:%b)[ \t\r]*:[^\n]*\n(?:[ \t][^\n]*\n)*" % either, re.IGNORECASE | re.MULTILINE).findall
    return lambda block: b"".join(find(block if block.endswith(b"\n") else block + b"\r\n")) + b"\r\n"


def _span(row: MessageRow, section: Section) -> Slice | None:
    text = "HEADER" if section.fields else section.text
    if not section.path and text is None:
        return Slice(0, row.size_octets)
    if row.parts is None:
        return None
    root = decode_parts(row.parts)
    if not section.path and text == "HEADER":
        return Slice(0, row.prefix_octets + root.body_start)
    if not section.path:
        return Slice(row.prefix_octets + root.body_start, row.size_octets)
    span = section_range(root, section.path, text)
    if span is None:
        return None
    # The fields that were put in front belong to the message's own header, the only one to begin at 0.
    start = 0 if span[0] == 0 and text == "MIME" else span[0] + row.prefix_octets
    return Slice(start, span[1] + row.prefix_octets)


def _cut(start: int, end: int, partial: tuple[int, int] | None) -> tuple[int, int]:
    if partial is None:
        return start, end
    first, count = partial
    return min(start + first, end), min(start + first + count, end)
