"""What FETCH can be asked for (RFC 3501 §6.4.5) and how that is written.

fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
            "BODY" ["STRUCTURE"] / "UID" / "BODY" [".PEEK"] section ["<" number "." nz-number ">"]
section   = "[" [section-msgtext / (nz-number *("." nz-number) ["." (section-msgtext / "MIME")])] "]"
"""

import re
from dataclasses import dataclass
from enum import Enum

from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.grammar import Scanner


class Item(Enum):
    """What is answered from the view's arrays or from a row as it is; the value is its name in the answer."""

    UID = "UID"
    FLAGS = "FLAGS"
    INTERNAL_DATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODY_STRUCTURE = "BODYSTRUCTURE"


@dataclass(frozen=True, slots=True)
class Section:
    """A run of the message's octets. `text` is HEADER, TEXT, MIME, HEADER.FIELDS, HEADER.FIELDS.NOT or None for all of
    the message or part `path`; `partial` is (first octet, at most so many). `label` is its name in the answer."""

    label: bytes
    path: tuple[int, ...] = ()
    text: str | None = None
    fields: tuple[bytes, ...] = ()
    partial: tuple[int, int] | None = None
    peek: bool = False

    @property
    def is_own_header(self) -> bool:
        """Whether this is the message's own header, or fields of it."""
        return not self.path and self.text is not None and self.text.startswith("HEADER")

    @property
    def is_content(self) -> bool:
        """Whether this reads more of the message than headers."""
        return self.text is None or self.text == "TEXT"


FetchItem = Item | Section

MACROS: dict[str, tuple[FetchItem, ...]] = {
    "FAST": (Item.FLAGS, Item.INTERNAL_DATE, Item.SIZE),
    "ALL": (Item.FLAGS, Item.INTERNAL_DATE, Item.SIZE, Item.ENVELOPE),
    "FULL": (Item.FLAGS, Item.INTERNAL_DATE, Item.SIZE, Item.ENVELOPE, Item.BODY),
}
_ATTRIBUTES: dict[str, FetchItem] = {
    **{item.value: item for item in Item},
    "RFC822": Section(b"RFC822"),
    "RFC822.HEADER": Section(b"RFC822.HEADER", text="HEADER", peek=True),
    "RFC822.TEXT": Section(b"RFC822.TEXT", text="TEXT"),
}
_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9]\d{0,8}")
_TEXTS = ("HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME")
_ATOM = re.compile(rb"[!#-'+-\[^-z|}~]+")


def parse_fetch_items(scanner: Scanner) -> tuple[FetchItem, ...]:
    """Take the items, a macro, or items in parentheses. Raises BadCommand, CommandRefused."""
    if not scanner.starts_with(b"("):
        return _attribute(scanner, macros=True)
    items: list[FetchItem] = []
    for attribute in scanner.parenthesized(lambda: _attribute(scanner, macros=False)):
        items += attribute
        if len(items) > scanner.limits.fetch_items:
            raise CommandRefused("LIMIT", f"A FETCH may ask for {scanner.limits.fetch_items} items")
    if not items:
        raise BadCommand("Expected an item to fetch")
    return tuple(dict.fromkeys(items))


def _attribute(scanner: Scanner, *, macros: bool) -> tuple[FetchItem, ...]:
    match = scanner.match(_NAME)
    name = match[0].decode().upper() if match else ""
    if name in ("BODY", "BODY.PEEK") and scanner.accept(b"["):
        return (_section(scanner, peek=name == "BODY.PEEK"),)
    if macros and name in MACROS:
        return MACROS[name]
    if name not in _ATTRIBUTES:
        raise BadCommand("Unknown item to fetch")
    return (_ATTRIBUTES[name],)


def _section(scanner: Scanner, *, peek: bool) -> Section:
    path: list[int] = []
    text = None
    while not scanner.starts_with(b"]") or path:
        number = scanner.match(_PART)
        if number is None:
            text = _section_text(scanner, path)
            break
        path.append(int(number[0]))
        if len(path) > scanner.limits.section_depth:
            raise CommandRefused("LIMIT", f"A section may lie {scanner.limits.section_depth} parts deep")
        if not scanner.accept(b"."):
            break
    fields = _field_names(scanner) if text in ("HEADER.FIELDS", "HEADER.FIELDS.NOT") else ()
    scanner.expect(b"]")
    partial = _partial(scanner)
    return Section(_label(path, text, fields, partial), tuple(path), text, fields, partial, peek)


def _section_text(scanner: Scanner, path: list[int]) -> str:
    match = scanner.match(_NAME)
    text = match[0].decode().upper() if match else ""
    if text not in _TEXTS or (text == "MIME" and not path):
        raise BadCommand("Unknown section")
    return text


def _field_names(scanner: Scanner) -> tuple[bytes, ...]:
    scanner.space()
    names: list[bytes] = []
    for name in scanner.parenthesized(scanner.astring):
        names.append(name)
        if len(names) > scanner.limits.field_names:
            raise CommandRefused("LIMIT", f"A section may name {scanner.limits.field_names} fields")
    scanner.skip_spaces()
    if not names or any(not name or not name.isascii() or re.search(rb"[\x00-\x20:\x7f]", name) for name in names):
        raise BadCommand("No possible name of a header field")
    return tuple(names)


def _partial(scanner: Scanner) -> tuple[int, int] | None:
    if not scanner.accept(b"<"):
        return None
    first = scanner.number()
    scanner.expect(b".")
    count = scanner.number()
    if not count:
        raise BadCommand("A partial fetch of no octets")
    scanner.expect(b">")
    return first, count


def _label(path: list[int], text: str | None, fields: tuple[bytes, ...], partial: tuple[int, int] | None) -> bytes:
    section = ".".join([*map(str, path), *([text] if text else [])]).encode()
    if fields:
        quoted = (name if _ATOM.fullmatch(name) else b'"%b"' % _escape(name) for name in fields)
        section += b" (%b)" % b" ".join(quoted)
    return b"BODY[%b]" % section + (b"<%d>" % partial[0] if partial else b"")


def _escape(name: bytes) -> bytes:
    return name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
