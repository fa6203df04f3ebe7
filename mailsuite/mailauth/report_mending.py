"""Reports that are not quite what they should be, read once more: text decoded whatever it claims to be in, the tags of
XML that is not well-formed put in order, JSON taken as far as its meaning is plain.

For what a strict reader has refused, never instead of it. What was mended is noted in words for people. Time is linear
in the octets, of which there are MAX_OCTETS at most.
"""

import codecs
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mailsuite.mailauth.report_file import ReportError

# All of it is held in memory. Reports with mistakes come from small senders, whose reports are small.
MAX_OCTETS = 4 * 1024 * 1024
# Of < and tags that fit nowhere; each costs a step.
MAX_STRAYS = 10_000

# Octets that are no UTF-8 stand for letters of windows-1252, as real ones do.
_LETTERS = {0xDC00 + octet: bytes([octet]).decode("cp1252", "replace") for octet in range(0x80, 0x100)}
_DECLARATION = re.compile(r"\s*+<\?xml[^<>]{0,200}?\bencoding\s*+=\s*+[\"']([A-Za-z0-9._-]{1,40})[\"']")
_OF_ONE_OCTET = re.compile(r"iso-8859-\d{1,2}|(?:windows-|cp)125\d|koi8-[ru]", re.IGNORECASE)
# What XML 1.0 §2.2 has no place for.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# A start or end tag, never across a further "<", so that no scan repeats another's.
_TAG = re.compile(
    r"""<(/?)([^\W\d][\w.-]*+(?::[\w.-]++)?+)(?:\s++[\w.:-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'))*+\s*+(/?)>"""
)
_LAST_COMMA = re.compile(r",\s*+([}\]])")
_ASIDES = (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"))

Note = Callable[[str], None]


class NoReport(ReportError):
    """Nothing of what was looked for is there, or its end is missing."""


class Kind(Enum):
    """What a token of XML is; its text is the element's name, or the text itself."""

    START = 1
    END = 2
    TEXT = 3


Token = tuple[Kind, str]


def whole(chunks: Iterable[bytes]) -> bytes:
    """The octets in one piece. Raises ReportError when they are too many to be mended."""
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > MAX_OCTETS:
            raise ReportError(f"it is not well-formed, and too large to be mended ({MAX_OCTETS // (1024 * 1024)} MB)")
    return bytes(found)


def decode(octets: bytes, note: Note) -> str:
    """The text: UTF-16 by its mark, a charset of one octet a letter where XML declares it, else UTF-8."""
    if octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _writable(octets.decode("utf-16", "replace"), note)
    if octets[:1] and octets[1:2] == octets[3:4] == b"\0":
        return _writable(octets.decode("utf-16-le", "replace"), note)
    octets = octets.removeprefix(codecs.BOM_UTF8)
    declared = _DECLARATION.match(octets[:400].decode("latin-1"))
    charset = declared[1].lower() if declared else "utf-8"
    if _OF_ONE_OCTET.fullmatch(charset):
        return _writable(octets.decode(_known(charset), "replace"), note)
    if charset not in ("utf-8", "utf8", "us-ascii"):
        note(f"an encoding ({charset}) that it is not in")
    text = octets.decode("utf-8", "surrogateescape")
    letters = text.translate(_LETTERS)
    if letters != text:
        note("octets that are no UTF-8")
    return _writable(letters, note)


def _known(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "cp1252"


def _writable(text: str, note: Note) -> str:
    found, count = _FORBIDDEN.subn(" ", text)
    if count:
        note("control characters")
    return found


def read_json(text: str, note: Note) -> Any:
    """The first value in the text, commas before an end passed over, names in lower case with hyphens. Raises
    ValueError or RecursionError."""
    text = text.lstrip()
    try:
        found, end = _JSON.raw_decode(text)
    except ValueError:
        found, end = _JSON.raw_decode(_LAST_COMMA.sub(r"\1", text))
        note("commas before an end")
        return found
    if text[end:].strip():
        note("what stands after the report")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name.strip().lower().replace("_", "-"): value for name, value in reversed(pairs)}


_JSON = json.JSONDecoder(strict=False, object_pairs_hook=_object)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What stands where: below the `root` each element of `parents` has its place in that one alone, and those of
    `texts` hold no elements."""

    root: str
    parents: Mapping[str, str]
    texts: frozenset[str]


def tokens(text: str, grammar: Grammar, note: Note) -> Iterator[Token]:
    """The tokens of the first root element in the text, properly nested, names in lower case and without the root's
    prefix. An element that can't stand where it begins ends those that it can't stand in, and begins those that it
    stands in. The root ends where its last end tag stands that only elements of its own are followed by. Raises
    ReportError when the root is not there, does not end (NoReport), or there is more disorder than MAX_STRAYS."""
    outline = _Outline(grammar, note)
    try:
        # Of what stands behind a whole report nothing is told.
        for kind, value in _pieces(text, lambda what: None if outline.is_over else note(what)):
            yield from outline.take(kind, value)
            if outline.is_left:
                break
    except ReportError:
        if not outline.is_over:
            raise
    if outline.is_over:
        yield Kind.END, grammar.root
        return
    raise NoReport("its XML is cut off" if outline.open else f"its XML has no {grammar.root}")


class _Outline:
    """Puts tags in order: `open` are the elements that have begun, outermost first; `is_over` is whether the root has
    ended, which it says nothing of, since it may go on; `is_left`, whether another report begins behind it."""

    def __init__(self, grammar: Grammar, note: Note) -> None:
        self.open: list[str] = []
        self.is_over = self.is_left = False
        self._grammar, self._note = grammar, note
        self._prefix = ""
        self._strays = 0

    def take(self, kind: Kind, value: str) -> Iterator[Token]:
        if kind is Kind.TEXT:
            if self.open:
                yield kind, value
        elif kind is Kind.START:
            yield from self._start(value)
        else:
            yield from self._end(value)

    def _start(self, name: str) -> Iterator[Token]:
        if self.is_over:
            local = self._local(name)
            if local == self._grammar.root:
                self._note("a second report, which is left out")
                self.is_left = True
            if self._grammar.parents.get(local) != self._grammar.root:
                return
            self._stray("an end of the report before its last record")
            self.open, self.is_over = [self._grammar.root], False
        elif not self.open:
            prefix, colon, local = name.rpartition(":")
            if local != self._grammar.root:
                self._stray("a tag around the report")
                return
            self._prefix = prefix + colon
        name = self._local(name)
        yield from self._make_room(name)
        self.open.append(name)
        yield Kind.START, name

    def _make_room(self, name: str) -> Iterator[Token]:
        """Ends and begins elements until the one of that name can stand there."""
        parent = self._grammar.parents.get(name)
        if self.open and parent is None and self.open[-1] in self._grammar.texts:
            self._stray("tags that do not match")
            yield Kind.END, self.open.pop()
        if parent is None or parent == self.open[-1]:
            return
        self._stray("tags that do not match")
        if parent in self.open:
            while self.open[-1] != parent:
                yield Kind.END, self.open.pop()
        else:
            yield from self._make_room(parent)
            self.open.append(parent)
            yield Kind.START, parent

    def _end(self, name: str) -> Iterator[Token]:
        name = self._local(name)
        if name not in self.open:
            if self.open:
                self._stray("tags that do not match")
            return
        while (last := self.open.pop()) != name:
            self._stray("tags that do not match")
            yield Kind.END, last
        if self.open:
            yield Kind.END, last
        else:
            self.is_over = True

    def _local(self, name: str) -> str:
        """The name without the root's prefix; with another one it is no name of the report's."""
        return name.removeprefix(self._prefix).replace(":", ".")

    def _stray(self, what: str) -> None:
        self._strays += 1
        if self._strays > MAX_STRAYS:
            raise ReportError("its XML is in too much disorder")
        self._note(what)


def _pieces(text: str, note: Note) -> Iterator[Token]:
    """Tags and texts as they come. Raises ReportError for a document type."""
    at, strays = 0, 0
    missing: set[str] = set()
    while at < len(text):
        start = text.find("<", at)
        if start != at:
            yield Kind.TEXT, _resolved(text[at : start if start >= 0 else len(text)], note)
        if start < 0:
            return
        if found := _aside(text, start, missing):
            at, inside = found
            if inside:
                yield Kind.TEXT, inside
        elif match := _TAG.match(text, start):
            at = match.end()
            name = match[2].lower()
            if not match[1]:
                yield Kind.START, name
            if match[1] or match[3]:
                yield Kind.END, name
        else:
            if text[start : start + 9].upper() in ("<!DOCTYPE", "<!ELEMENT") or text.startswith("<!ENTITY", start):
                raise ReportError("its XML has a document type, which reports have not")
            strays += 1
            if strays > MAX_STRAYS:
                raise ReportError("its XML is in too much disorder")
            note("a < that is no tag")
            yield Kind.TEXT, "<"
            at = start + 1


def _aside(text: str, start: int, missing: set[str]) -> tuple[int, str] | None:
    """Where a comment, an instruction or a CDATA section ends that begins there, and the text that it holds. Ends that
    do not come any more are kept in `missing`, and not looked for again."""
    for opening, ending in _ASIDES:
        if text.startswith(opening, start) and ending not in missing:
            end = text.find(ending, start + len(opening))
            if end >= 0:
                return end + len(ending), text[start + len(opening) : end] if opening == "<![CDATA[" else ""
            missing.add(ending)
    return None


def _resolved(text: str, note: Note) -> str:
    """The text with its references resolved, those of HTML included; an & that begins none stands for itself."""
    if "&" not in text:
        return text
    found, count = _REFERENCE.subn(lambda match: html.unescape(match[0]), text)
    if text.count("&") > count:
        note("an & that stands alone")
    return found
