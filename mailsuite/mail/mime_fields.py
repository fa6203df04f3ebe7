"""Values of MIME header fields (RFC 2045 §5 and §6, RFC 2183, RFC 3282), read leniently and in linear time.

One reader of tokens serves all of them: white space and comments may stand between any two, a comment that nothing
closes is ordinary text. A parameter sent in sections (`filename*0*=…; filename*1=…`) is put together, as IMAP servers
should (RFC 2231 §8). An extended one (`filename*`) stays as it was sent, charset in front and octets percent-encoded,
for the client to read; `parameter` decodes it for who looks into the message here.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from mailsuite.mail.charset import decode_charset
from mailsuite.mail.header import Fields, unfold

# Of a value so much is read, up to the end of a parameter.
MAX_VALUE_OCTETS = 64 * 1024
_CACHED_OCTETS = 120  # longer values have boundaries or names and are not met again

# The shape that nearly all mail has: a type and parameters, without comments, quoted pairs, sections, and as the
# grammar wants them
_PARAMETER = rb';\s*+([^\s=;"()*]++)=(?:"([^"\\]*+)"|([^\s;"()\\]++))'
_SIMPLE_PARAMETER = re.compile(_PARAMETER)
_SIMPLE = re.compile(rb'\s*+([^\s/;"()=,]++)(?:/([^\s/;"()=,]++))?+((?:\s*+%b)*+)\s*+;?+\s*+' % _PARAMETER)
_WORD = re.compile(rb'"?+([^\s/;"()=,]++)"?+')
# The attribute of a parameter, and what parts one parameter from the next
_ATTRIBUTE = re.compile(rb'[^\s=;"()]++')
_BETWEEN = re.compile(rb"[;\s]*+")
_SPACE = re.compile(rb"\s*+")
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
# Octets of a value, of a language tag, and of what is passed over up to the next parameter, up to where it may end
_IN_VALUE = re.compile(rb'[^;\s"(]*+')
_IN_TEXT = re.compile(rb"[^;(]*+")
_IN_TAG = re.compile(rb"[^,(]*+")
_PASSED_OVER = re.compile(rb'\(++|[^;"(\s]++')
_OPENING = re.compile(rb"\(++")
_COMMENT_MARK = re.compile(rb"[()]|\\.", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# attribute "*" section ["*"]  (RFC 2231 §3 and §4.1)
_SECTION = re.compile(rb"([^*]++)\*(0|[1-9][0-9]{0,2})(\*?)")
# What an extended value must encode beside controls and octets beyond ASCII (RFC 2231 §7, attribute-char)
_TO_ENCODE = re.compile(rb"[^!#$&+\-.0-9A-Z^_`a-z{|}~]")
# Of these people write the value without its quotes.
_NAMES = frozenset({b"name", b"filename"})
_READ_BY_TOKENS = (b"content-type", b"content-disposition", b"content-transfer-encoding", b"content-language")
_LINE_ENDS = b"\r\n\0"

Parameters = tuple[tuple[bytes, bytes], ...]


class ContentType(NamedTuple):
    """A media type with its parameters; names are lower-case, values as received less their quotes."""

    main: bytes
    sub: bytes
    parameters: Parameters

    def parameter(self, name: bytes) -> bytes | None:
        """Return the value of the parameter with this lower-case name, decoded, or None."""
        return parameter(self.parameters, name)


TEXT_PLAIN = ContentType(b"text", b"plain", ((b"charset", b"us-ascii"),))
MESSAGE_RFC822 = ContentType(b"message", b"rfc822", ())


def content_type_of(fields: Fields, default: ContentType = TEXT_PLAIN) -> ContentType:
    """Return the type that a part's raw fields say, the default when there is none. What makes no sense is a file where
    the disposition gives it a name."""
    values = fields.get(b"content-type")
    if not values:
        return default
    value = unfold(values[0])
    content_type = parse_content_type(value)
    if b"/" not in value and content_type.main == b"text" and b"content-disposition" in fields:
        disposition = disposition_of(fields)
        if disposition and parameter(disposition[1], b"filename") is not None:
            return ContentType(b"application", b"octet-stream", content_type.parameters)
    return content_type


def leaf_type_of(fields: Fields) -> ContentType:
    """Return what the structure calls a part that holds no others: what was to hold some, and has none that can be
    found or is not looked into, is plain text there."""
    kind = content_type_of(fields)
    return TEXT_PLAIN if kind.main == b"multipart" or kind[:2] == MESSAGE_RFC822[:2] else kind


def encoding_of(fields: Fields) -> bytes:
    """Return the transfer encoding that a part's raw fields say, in lower case; `7bit` when there is none (RFC 2045
    §6.1)."""
    values = fields.get(b"content-transfer-encoding")
    return parse_encoding(unfold(values[0])) if values else b"7bit"


def disposition_of(fields: Fields) -> tuple[bytes, Parameters] | None:
    """Return type and parameters of a part's Content-Disposition, or None."""
    values = fields.get(b"content-disposition")
    return parse_disposition(unfold(values[0])) if values else None


def file_name_of(fields: Fields) -> bytes:
    """Return the file name that a part's raw fields give it, decoded; empty when there is none."""
    disposition = disposition_of(fields)
    name = parameter(disposition[1], b"filename") if disposition else None
    return name or content_type_of(fields).parameter(b"name") or b""


class OddOctets(NamedTuple):
    """Octets of MIME fields that are not of the usual shape: they take some hundred times as long to read. `is_whole`
    unless one is longer than is read."""

    octets: int
    is_whole: bool


def odd_octets(fields: Fields) -> OddOctets:
    """Return what reading a part's raw fields costs, less what is read at once."""
    lengths = [
        len(values[0])
        for name in _READ_BY_TOKENS
        if (values := fields.get(name)) and not _SIMPLE.fullmatch(unfold(values[0]))
    ]
    return OddOctets(
        sum(min(length, MAX_VALUE_OCTETS) for length in lengths), max(lengths, default=0) <= MAX_VALUE_OCTETS
    )


def parse_content_type(value: bytes) -> ContentType:
    """Return the type in an unfolded Content-Type value; plain text when it makes no sense (RFC 2045 §5.2), but for
    what has a file name, which its sender meant as a file."""
    return _cached_content_type(value) if len(value) <= _CACHED_OCTETS else _parse_content_type(value)


def parse_disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """Return type and parameters of an unfolded Content-Disposition value, or None when it says nothing. A file name
    without a type is that of an attachment."""
    kind, _, parameters = _words_and_parameters(value)
    if kind is None and parameter(parameters, b"filename") is None:
        return None
    return (kind or b"attachment").lower(), parameters


def parse_encoding(value: bytes) -> bytes:
    """Return the first token of an unfolded Content-Transfer-Encoding value in lower case, or `7bit`."""
    return (_Tokens(_bounded(value, b";")).word() or b"7bit").lower()


def parse_languages(value: bytes) -> list[bytes]:
    """Return the tags of an unfolded Content-Language value (RFC 3282 §2)."""
    tokens, tags = _Tokens(_bounded(value, b",")), list[bytes]()
    while not tokens.at_end:
        tokens.skip(_SPACE)
        if tag := tokens.text(_IN_TAG, with_comments=False).strip():
            tags.append(tag)
        tokens.at += 1
    return tags


def parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """Return the value of the first parameter with this lower-case name; where it was sent as an extended one, its
    octets in the charset that it says (RFC 2231 §4). None when there is neither."""
    found = next((value for key, value in parameters if key == name), None)
    if found is not None:
        return found
    extended = next((value for key, value in parameters if key == name + b"*"), None)
    return None if extended is None else _decoded(extended)[0]


def extended_text(fields: Fields) -> list[str]:
    """Return what the extended parameters of a part's raw fields say, such as its file name, as text (RFC 2231 §4)."""
    disposition = disposition_of(fields)
    parameters = content_type_of(fields).parameters + (disposition[1] if disposition else ())
    return [decode_charset(*_decoded(value)) for name, value in parameters if name.endswith(b"*")]


def _bounded(value: bytes, parted_by: bytes) -> bytes:
    if len(value) <= MAX_VALUE_OCTETS:
        return value
    cut = value.rfind(parted_by, 0, MAX_VALUE_OCTETS)
    return value[: cut if cut > 0 else MAX_VALUE_OCTETS]


def _decoded(value: bytes) -> tuple[bytes, bytes]:
    """The octets of an extended value, and the charset that they are in."""
    parts = value.split(b"'", 2)
    charset, _, octets = parts if len(parts) == 3 else (b"", b"", value)
    return unquote_to_bytes(octets).translate(None, _LINE_ENDS), charset


def _parse_content_type(value: bytes) -> ContentType:
    main, sub, parameters = _words_and_parameters(value)
    if main is None or sub is None:
        return _without_slash(main or b"", parameters)
    return _of_type(main.lower(), sub.lower(), parameters)


def _words_and_parameters(value: bytes) -> tuple[bytes | None, bytes | None, Parameters]:
    """The first word, the one behind a slash, and the parameters."""
    value = _bounded(value, b";")
    if match := _SIMPLE.fullmatch(value):
        found = _SIMPLE_PARAMETER.findall(match[3])
        return match[1], match[2], tuple([(name.lower(), quoted or token) for name, quoted, token in found])
    tokens = _Tokens(value)
    first = None if tokens.is_at_attribute() else tokens.word()
    second = tokens.word() if first and tokens.accept(b"/") else None
    return first, second, _parameters(tokens)


def _of_type(main: bytes, sub: bytes, parameters: Parameters) -> ContentType:
    if main == b"text" and not any(name.startswith(b"charset") for name, _ in parameters):
        parameters = (*parameters, (b"charset", b"us-ascii"))
    return ContentType(main, sub, parameters)


def _without_slash(word: bytes, parameters: Parameters) -> ContentType:
    """What a value that names no type means: a multipart where it has a boundary, a file where it has a name."""
    if word.lower() == b"multipart" and parameter(parameters, b"boundary"):
        return ContentType(b"multipart", b"mixed", parameters)
    if parameter(parameters, b"name") is not None:
        return ContentType(b"application", b"octet-stream", parameters)
    return _of_type(b"text", b"plain", parameters)


_cached_content_type = lru_cache(maxsize=512)(_parse_content_type)


class _Tokens:
    """A value read from left to right; `at` is the offset of what comes next."""

    __slots__ = ("_has_open_comment", "_has_open_quote", "_value", "at")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self.at = 0
        # Once a comment or a quoted-string goes on to the end, none is looked for again: each octet is searched once.
        self._has_open_comment = self._has_open_quote = False

    @property
    def at_end(self) -> bool:
        return self.at >= len(self._value)

    def skip(self, what: re.Pattern[bytes]) -> None:
        """Go on to the next token: pass over what the pattern matches, and over comments."""
        while True:
            self.at = self._end_of(what)
            if not self._take_comment():
                return

    def accept(self, mark: bytes) -> bool:
        """Whether the next octet is this one, which is then taken."""
        self.skip(_SPACE)
        found = self._value.startswith(mark, self.at)
        self.at += found
        return found

    def word(self) -> bytes | None:
        """Take a type or another single word, in quotes or without; None where there is none."""
        self.skip(_SPACE)
        match = _WORD.match(self._value, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[1]

    def is_at_attribute(self) -> bool:
        """Whether a parameter comes next."""
        self.skip(_BETWEEN)
        start = self.at
        found = self._attribute_here()
        self.at = start
        return found is not None

    def attribute(self) -> bytes | None:
        """Take the name of the next parameter and its `=`, passing over what is no parameter; None at the end."""
        while True:
            self.skip(_BETWEEN)
            if self.at_end:
                return None
            if attribute := self._attribute_here():
                return attribute.lower()
            if self.quoted() is None:
                self.at = max(self._end_of(_PASSED_OVER), self.at + 1)

    def _attribute_here(self) -> bytes | None:
        """Take a word and the `=` behind it; nothing where it is none."""
        start, end = self.at, self._end_of(_ATTRIBUTE)
        self.at = end
        if end > start and self.accept(b"="):
            return self._value[start:end]
        self.at = start
        return None

    def quoted(self) -> bytes | None:
        """Take a quoted-string; None where none begins or what begins is not closed."""
        if self._has_open_quote or not self._value.startswith(b'"', self.at):
            return None
        match = _QUOTED.match(self._value, self.at)
        if match is None:
            self._has_open_quote = True
            return None
        self.at = match.end()
        return _QUOTED_PAIR.sub(rb"\1", match[1])

    def value(self, attribute: bytes) -> bytes:
        """Take a parameter's value: a quoted-string, a token or, of a name without its quotes, all up to the next
        semicolon."""
        self.skip(_SPACE)
        if (quoted := self.quoted()) is not None:
            return quoted
        start = self.at
        if self._value.startswith(b'"', start):  # one that is not closed
            self.at += 1
            return self.text(_IN_TEXT, with_comments=True).strip()
        token = self.text(_IN_VALUE, with_comments=False)
        if attribute.partition(b"*")[0] in _NAMES:
            self.skip(_SPACE)
            if not self.at_end and not self._value.startswith(b";", self.at):
                self.at = start
                return self.text(_IN_TEXT, with_comments=True).strip()
        return token

    def text(self, inside: re.Pattern[bytes], *, with_comments: bool) -> bytes:
        """Take what the pattern matches, opening marks of comments that nothing closes, and comments themselves or
        without them. A comment's semicolon ends nothing."""
        pieces: list[bytes] = []
        start = self.at
        while True:
            self.at = self._end_of(inside)
            end = self.at
            if not self._take_comment():
                self.at = self._end_of(_OPENING)
                if self.at == end:
                    break
            elif not with_comments:
                pieces.append(self._value[start:end])
                start = self.at
                if inside is _IN_VALUE:  # a comment ends a token
                    break
        pieces.append(self._value[start : self.at])
        return b"".join(pieces)

    def _end_of(self, pattern: re.Pattern[bytes]) -> int:
        match = pattern.match(self._value, self.at)
        return match.end() if match else self.at

    def _take_comment(self) -> bool:
        """Go past the comment that begins here, if one does (RFC 822 §3.4.3: they nest)."""
        if self._has_open_comment or not self._value.startswith(b"(", self.at):
            return False
        depth = 0
        for mark in _COMMENT_MARK.finditer(self._value, self.at):
            depth += {b"(": 1, b")": -1}.get(mark[0], 0)
            if depth == 0:
                self.at = mark.end()
                return True
        self._has_open_comment = True
        return False


def _parameters(tokens: _Tokens) -> Parameters:
    """Take the parameters that are left."""
    found: list[tuple[bytes, bytes]] = []
    while (name := tokens.attribute()) is not None:
        found.append((name, tokens.value(name)))
    return _joined(found) if any(b"*" in name for name, _ in found) else tuple(found)


def _joined(parameters: list[tuple[bytes, bytes]]) -> Parameters:
    """Return the parameters with those sent in sections put together, each where its first section stood. Sections that
    follow none, or that are sent again, are left as they are."""
    sections: dict[tuple[bytes, int], _Section] = {}
    for at, (name, value) in enumerate(parameters):
        if match := _SECTION.fullmatch(name):
            sections.setdefault((match[1], int(match[2])), _Section(at, value, bool(match[3])))
    put_together: dict[int, tuple[bytes, bytes] | None] = {}
    for (name, number), section in sections.items():
        if number == 0:
            run = _run(name, sections)
            put_together |= {one.at: None for one in run}
            put_together[section.at] = _from_sections(name, run)
    return tuple([found for at, one in enumerate(parameters) if (found := put_together.get(at, one))])


class _Section(NamedTuple):
    """One of those that a parameter is sent in, and its place among the parameters."""

    at: int
    octets: bytes
    is_encoded: bool


def _run(name: bytes, sections: dict[tuple[bytes, int], _Section]) -> list[_Section]:
    """The parameter's sections up to the first that is missing."""
    run: list[_Section] = []
    while section := sections.get((name, len(run))):
        run.append(section)
    return run


def _from_sections(name: bytes, run: list[_Section]) -> tuple[bytes, bytes]:
    """The parameter; an extended one where any of its sections is (RFC 2231 §4.1)."""
    if not any(section.is_encoded for section in run):
        return name, b"".join(section.octets for section in run)
    # Only a first section that is encoded itself says charset and language.
    front = b"" if run[0].is_encoded else b"''"
    values = (octets if is_encoded else _TO_ENCODE.sub(_percent, octets) for _, octets, is_encoded in run)
    return name + b"*", front + b"".join(values)


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
