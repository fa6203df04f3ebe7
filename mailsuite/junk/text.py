"""What a reader would see of a message's beginning: its text parts decoded, HTML without its marks.

Everything is bounded and linear, whatever the octets: mail that wants to be junk is made to cost us.
"""

import html
import re
from dataclasses import dataclass, field
from itertools import islice

from mailsuite.mail.body_structure import ParseLimits, read_structure
from mailsuite.mail.charset import decode_charset
from mailsuite.mail.header import Fields, collect_fields
from mailsuite.mail.mime_fields import ContentType, content_type_of, encoding_of, leaf_type_of
from mailsuite.mail.structure import Part, PartKind
from mailsuite.mail.transfer_encoding import from_base64, from_quoted_printable

# Of the octets after the header, this many are looked at.
BODY_OCTETS = 128 * 1024
# Of the decoded text, this much is taken.
TEXT_OCTETS = 64 * 1024
LIMITS = ParseLimits(depth=10, parts=60, header_octets=64 * 1024, fields=500, false_delimiters=1_000)
MAX_TAGS = 4_000
MAX_HOSTS = 40

_HOST = re.compile(r"https?://(?:[^\s/@\"'<>]{1,64}@)?([A-Za-z0-9.-]{4,100})")
# What is put between letters so that filters do not know the word: zero-width characters, soft hyphens.
_INVISIBLE = dict.fromkeys([0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x2060, 0x2065)])
# Tags that may stand inside a word, to hide it from those who look for it.
_WITHIN_WORDS = frozenset({"b", "i", "u", "em", "strong", "span", "font", "small", "wbr", "!--"})
_UNSEEN_STYLES = ("display:none", "display: none", "font-size:0", "font-size: 0", "visibility:hidden")


@dataclass(slots=True)
class Visible:
    """The text, the hosts that it links to, and what else is to be seen of its making: a word each."""

    text: str = ""
    hosts: tuple[str, ...] = ()
    marks: set[str] = field(default_factory=set)


def visible_text(header: Fields, header_octets: int, octets: bytes) -> Visible:
    """Return what is to be seen of the message that begins with `octets`; its header block has these fields and this
    length."""
    found, left, texts = Visible(), TEXT_OCTETS, []
    hosts: dict[str, None] = {}
    for content_type, encoding, body in _text_parts(header, header_octets, octets, found.marks):
        decoded = _decode(body, encoding, left)
        left -= len(decoded)
        text = decode_charset(decoded, content_type.parameter(b"charset") or b"utf-8")
        hosts.update(dict.fromkeys(match[1].lower() for match in islice(_HOST.finditer(text), MAX_HOSTS)))
        texts.append(_seen(text, found.marks) if content_type.sub == b"html" else text)
        if left <= 0:
            break
    found.text = "\n".join(texts).translate(_INVISIBLE)
    found.hosts = tuple(hosts)[:MAX_HOSTS]
    return found


def _text_parts(
    header: Fields, header_octets: int, octets: bytes, marks: set[str]
) -> list[tuple[ContentType, bytes, bytes]]:
    """The leaves that are text: type, transfer encoding and octets of each."""
    structure = read_structure(octets, header, header_octets, LIMITS)
    if not structure.is_whole:
        marks.add("mime:complex")
    found, waiting = [], [(structure.part, header)]
    while waiting:
        part, fields = waiting.pop()
        content_type = leaf_type_of(fields) if part.kind is PartKind.SINGLE else content_type_of(fields)
        if part.kind is PartKind.SINGLE:
            marks.add(f"mime:{_word(content_type.main)}/{_word(content_type.sub)}")
            if content_type.main == b"text":
                found.append((content_type, encoding_of(fields), octets[part.body_start : part.end]))
        elif part.kind is PartKind.MULTIPART:
            marks.add(f"mime:{_word(content_type.main)}/{_word(content_type.sub)}")
            waiting += [(child, _fields(octets, child)) for child in reversed(part.children)]
        else:
            waiting += [(child, _fields(octets, child)) for child in part.children]
    return found


def _fields(octets: bytes, part: Part) -> Fields:
    return collect_fields(octets[part.header_start : part.body_start])


def _word(octets: bytes) -> str:
    return octets.decode("ascii", "replace")[:30]


def _decode(body: bytes, encoding: bytes, most: int) -> bytes:
    """At most so many octets of the body as they were before their transfer encoding."""
    if encoding == b"base64":
        return from_base64(body[: most * 3 // 2])[:most]
    if encoding == b"quoted-printable":
        return from_quoted_printable(body[: most * 3])[:most]
    return body[:most]


def _seen(text: str, marks: set[str]) -> str:
    """HTML as text: tags out, scripts and styles out, entities decoded. Cut at `<`, so that none is searched twice."""
    first, *pieces = text.split("<", MAX_TAGS)
    seen, skipped = [first], ""
    for piece in pieces:
        tag, _, rest = piece.partition(">")
        name = tag[:12].lower()
        if skipped:
            skipped = "" if name.startswith("/" + skipped) else skipped
        elif name.startswith(("script", "style")):
            skipped = "script" if name.startswith("script") else "style"
        _mark(tag, name, marks)
        if not skipped:
            seen.append(rest if _tag_name(name) in _WITHIN_WORDS else f" {rest}")
    return html.unescape("".join(seen))


def _tag_name(start: str) -> str:
    words = start.lstrip("/").split(maxsplit=1)
    return words[0] if words else ""


def _mark(tag: str, name: str, marks: set[str]) -> None:
    if name.startswith(("form", "iframe", "script", "img")):
        marks.add(f"html:{name.split()[0][:6]}")
    if "style" in tag and any(style in tag[:500].lower() for style in _UNSEEN_STYLES):
        marks.add("html:unseen")
