"""The tokens of an address list (RFC 5322 §3.2 and §3.4), in time linear to its octets.

An opening mark that nothing closes, and a closing one that nothing opened, are ordinary characters, as the large
receivers read them: else one stray mark would hide all addresses behind it.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a token is. MARK is a quotation mark, parenthesis or square bracket that stands for itself."""

    SPACE = "space"
    ATOM = "atom"
    QUOTED = "quoted-string"
    COMMENT = "comment"
    LITERAL = "domain-literal"
    SPECIAL = "special"
    MARK = "mark"


class Token(NamedTuple):
    """`text` is what it means: without the quotes and backslashes of a quoted string, the parentheses of a comment.
    `start` and `end` say where it stands."""

    kind: Kind
    text: bytes
    start: int
    end: int


# Real senders leave commas and parentheses in encoded words (RFC 2047 §5 forbids it); nothing that makes an address.
_ENCODED_WORD = rb'=\?[^\s?"<>@]{1,60}\?[BbQq]\?[^\s?"<>@]*+\?='
_PLAIN = re.compile(rb'([ \t]++)|(%b|[^ \t"()<>@,;:\[\]]++)|([<>@,;:])' % _ENCODED_WORD)
_PLAIN_KINDS = (Kind.SPACE, Kind.ATOM, Kind.SPECIAL)
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_FLAT_COMMENT = re.compile(rb"\(([^()\\]*+)\)")
# Of dtext only what addresses have, so that a stray bracket takes no commas and addresses with it.
_LITERAL = re.compile(rb'\[[^\s\[\]\\"()<>@,;]*+\]')
_PARENTHESIS = re.compile(rb"[()]|\\.", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def address_tokens(value: bytes) -> Iterator[Token]:
    """Yield the tokens of an unfolded field value."""
    return AddressTokens(value).beginning_at(0)


class AddressTokens:
    """The tokens of an unfolded field value; each octet is in one of them."""

    def __init__(self, value: bytes) -> None:
        self._value, self._closing = value, _Closing(value)

    def beginning_at(self, at: int) -> Iterator[Token]:
        """Yield those from an offset on, at which one begins."""
        value, end = self._value, len(self._value)
        while at < end:
            if match := _PLAIN.match(value, at):
                assert match.lastindex is not None
                token = Token(_PLAIN_KINDS[match.lastindex - 1], match[0], at, match.end())
            else:
                token = self._closing.token(at)
            yield token
            at = token.end


class _Closing:
    """Which opening marks are closed, found by looking at each octet a fixed number of times."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._quotes_close = True
        self._closed_by: dict[int, int] | None = None

    def token(self, at: int) -> Token:
        """The quoted string, comment or literal that begins there, or the mark alone."""
        value = self._value
        match value[at : at + 1]:
            case b'"':
                if found := self._quoted(at):
                    return Token(Kind.QUOTED, _QUOTED_PAIR.sub(rb"\1", found[1]), at, found.end())
            case b"(":
                if end := self._comment_end(at):
                    inner = _QUOTED_PAIR.sub(rb"\1", value[at + 1 : end - 1])
                    return Token(Kind.COMMENT, inner.strip(), at, end)
            case b"[":
                if found := _LITERAL.match(value, at):
                    return Token(Kind.LITERAL, found[0], at, found.end())
        return Token(Kind.MARK, value[at : at + 1], at, at + 1)

    def _quoted(self, at: int) -> re.Match[bytes] | None:
        """Once one is not closed none is: those that follow are behind a backslash, as seen from it, so that each
        reads on to the same end."""
        found = _QUOTED.match(self._value, at) if self._quotes_close else None
        self._quotes_close = found is not None
        return found

    def _comment_end(self, at: int) -> int:
        """The offset after the comment; 0 when it has no end. Comments nest."""
        if found := _FLAT_COMMENT.match(self._value, at):
            return found.end()
        if self._closed_by is None:
            self._closed_by = self._pairs(at)
        return self._closed_by.get(at, 0)

    def _pairs(self, start: int) -> dict[int, int]:
        open_at: list[int] = []
        pairs: dict[int, int] = {}
        for match in _PARENTHESIS.finditer(self._value, start):
            if match[0] == b"(":
                open_at.append(match.start())
            elif match[0] == b")" and open_at:
                pairs[open_at.pop()] = match.end()
        return pairs
