"""Header blocks as octets: where one ends, its fields in order, and fields picked from it (RFC 5322 §2.2).

Everything here works on octets as they were received, takes bare LF for a line end as well (mail stored long ago has
it), and runs in time linear to its input.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from mmap import mmap

Octets = bytes | mmap
# Raw values by lower-case name, in the order in which they stand
Fields = Mapping[bytes, Sequence[bytes]]

# More of a header block is not read at once; of a longer one, see mailsuite.mail.bounded_header.
MAX_HEADER_OCTETS = 1280 * 1024

FIELD_START = re.compile(rb"\n(?![ \t])")
# What may begin a line of a header block: a field-name and its colon (RFC 5322 §2.2, blanks between as in §4.5), the
# line that begins a message in an mbox file, nothing, or (but for the first) a folded line's blanks.
_FIELD_LINE = rb"[!-9;-~]++[ \t]*+:|>*+From |\r?\n|\Z"
_FIRST_LINE = re.compile(_FIELD_LINE)
_NO_FIELD_LINE = re.compile(rb"\n(?!%b|[ \t])" % _FIELD_LINE)


def header_end(octets: Octets, start: int, end: int) -> int:
    """Return the offset after the header block that begins at `start`, its blank line included; `end` when there is
    no blank line."""
    first = octets[start : min(start + 2, end)]
    if first[:1] == b"\n":
        return start + 1
    if first == b"\r\n":
        return start + 2
    crlf = octets.find(b"\n\r\n", start, end)
    lf = octets.find(b"\n\n", start, end if crlf < 0 else crlf)
    if lf >= 0:
        return lf + 2
    return crlf + 3 if crlf >= 0 else end


def missing_blank_line(block: bytes) -> int | None:
    """Return the offset in a header block, as `header_end` bounds it, at which the text begins and no blank line tells
    so: at its first line where that is no field, or, in a message that has no blank line at all, at the first line that
    is none. None where nothing is missing (RFC 5322 §3.5)."""
    if _FIRST_LINE.match(block) is None:
        return 0
    if block.endswith((b"\n\r\n", b"\n\n")) or block in (b"\r\n", b"\n"):
        return None
    line = _NO_FIELD_LINE.search(block)
    return line.end() if line else None


def split_fields(block: bytes) -> list[bytes]:
    """Return the fields of a header block, folded lines included, each without its last LF; what follows the last
    line end comes last and is empty for a complete block."""
    return FIELD_START.split(block)


def collect_fields(block: bytes) -> dict[bytes, list[bytes]]:
    """Return the raw values of all fields by lower-case name, in the order they stand in the block. Lines that are
    no field (such as an mbox `From ` line) are left out."""
    fields: dict[bytes, list[bytes]] = {}
    for field in split_fields(block):
        name, colon, value = field.partition(b":")
        if colon:
            fields.setdefault(name.rstrip().lower(), []).append(value)
    return fields


def unfold(value: bytes) -> bytes:
    """Return a field's value as one line fit for a quoted string: line ends out, bare CR to a space, NUL out, and no
    white space around it."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    value = value.strip(b" \t\r")
    if b"\r" in value:
        value = value.replace(b"\r", b" ")
    return value.replace(b"\0", b"") if b"\0" in value else value


def header_fields(header_block: bytes, names: Collection[bytes], *, exclude: bool) -> bytes:
    """Return the fields with one of the names (or, with `exclude`, all others) as received, and the blank line:
    what HEADER.FIELDS and HEADER.FIELDS.NOT answer with (RFC 3501 §6.4.5). Names are given in lower case and compare
    without."""
    *complete, rest = split_fields(header_block)
    lines = [field + b"\n" for field in complete]
    if rest:
        lines.append(rest + b"\r\n")
    return b"".join(line for line in lines if _is_named(line, names) is not exclude and line.strip()) + b"\r\n"


def drop_fields(block: bytes, name: bytes) -> tuple[bytes, int]:
    """Return the block without its fields of that name, which is in lower case, and how many those were."""
    if name not in block.lower():
        return block, 0
    fields = split_fields(block)
    kept = [field for field in fields if not _is_named(field, {name})]
    return b"\n".join(kept), len(fields) - len(kept)


def _is_named(field: bytes, names: Collection[bytes]) -> bool:
    name, colon, _ = field.partition(b":")
    return bool(colon) and name.rstrip().lower() in names


def normalize_line_ends(octets: bytes) -> bytes:
    """Return the octets with every bare CR or LF made CRLF."""
    if octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n"):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
