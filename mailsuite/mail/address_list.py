"""Address lists of header fields (RFC 5322 §3.4 and §4.4), read leniently and in linear time.

Names and addresses stay octets as received (encoded words too), less quotes and comments. What the grammar does not
know is taken for what its sender most likely meant; nothing raises.
"""

import re
from typing import NamedTuple

_ATOM = rb"[^\s\"(<>@,;:\[\\]++"
# The shapes that nearly all mail has: "Name" <local@domain>, Name <local@domain>, local@domain
_SIMPLE = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\]*+)"[ \t]*+|([^"(<>@,;:\[\\]*+))<(%b)@(%b)>|(%b)@(%b))[ \t]*+(?:,|\Z)'
    % (_ATOM, _ATOM, _ATOM, _ATOM)
)
_TOKEN = re.compile(
    rb'([ \t]++)|"((?:[^"\\]++|\\.)*+)"?|(\[[^\]]*+\]?)|\(([^()\\]*+)\)|([(<>@,;:])|([^ \t"(<>@,;:\[]++)', re.DOTALL
)
_COMMENT_MARK = re.compile(rb"[()]|\\.", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


class ListedAddress(NamedTuple):
    """One entry, shaped as an address of RFC 3501 §7.4.2: `local_part` without `domain` opens the group of that name,
    neither ends it. An address written without a domain has an empty one."""

    name: bytes | None
    route: bytes | None
    local_part: bytes | None
    domain: bytes | None


_GROUP_END = ListedAddress(None, None, None, None)


def parse_address_list(value: bytes) -> list[ListedAddress]:
    """Return the entries of an unfolded field value in order, with entries around the members of each group."""
    simple: list[ListedAddress] = []
    at, end = 0, len(value)
    while at < end:
        match = _SIMPLE.match(value, at)
        if match is None:
            return _Parser(value).run()
        quoted, phrase, local_part, domain, bare_local_part, bare_domain = match.groups()
        if local_part is None:
            simple.append(ListedAddress(None, None, bare_local_part, bare_domain))
        else:
            simple.append(ListedAddress(quoted or (phrase or b"").rstrip() or None, None, local_part, domain))
        at = match.end()
    return simple


class _Parser:
    """The whole grammar: tokens in, entries out. `_outer` holds the octets of the entry outside angle brackets,
    `_inner` those inside, None where there are none."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._entries: list[ListedAddress] = []
        self._in_group = False
        self._start_entry()

    def _start_entry(self) -> None:
        self._outer: list[bytes] = []
        self._inner: list[bytes] | None = None
        self._outer_at = self._inner_at = -1  # where in the list the @ stands
        self._route: bytes | None = None
        self._comment: bytes | None = None
        self._in_angle = False

    def run(self) -> list[ListedAddress]:
        at, end = 0, len(self._value)
        while at < end:
            match = _TOKEN.match(self._value, at)
            if match is None:  # no octet is left without a token; this only keeps the loop moving
                break
            at = match.end()
            space, quoted, literal, comment, special, atom = match.groups()
            if comment is not None:
                self._comment = comment.strip()
            elif special == b"(":  # one that nests
                at = self._take_comment(at)
            elif special is not None:
                self._take_special(special)
            elif quoted is not None:
                self._put(_QUOTED_PAIR.sub(rb"\1", quoted))
            elif space is None or not self._in_angle:
                self._put(space or literal or atom)
        self._end_entry()
        if self._in_group:
            self._entries.append(_GROUP_END)
        return self._entries

    def _put(self, octets: bytes) -> None:
        if self._in_angle and self._inner is not None:
            self._inner.append(octets)
        elif self._inner is not None and not octets.isspace():  # words after the closing bracket are a new entry
            self._end_entry()
            self._outer.append(octets)
        else:
            self._outer.append(octets)

    def _take_comment(self, at: int) -> int:
        """Return the offset after the comment whose opening parenthesis stands before `at`; comments nest."""
        depth, start = 1, at
        for match in _COMMENT_MARK.finditer(self._value, at):
            depth += {b"(": 1, b")": -1}.get(match[0], 0)
            if depth == 0:
                self._comment = _QUOTED_PAIR.sub(rb"\1", self._value[start : match.start()]).strip()
                return match.end()
        return len(self._value)

    def _take_special(self, special: bytes) -> None:
        if special == b"<":
            if self._inner is not None:  # a second address without a comma between: neither may hide
                self._end_entry()
            self._in_angle, self._inner, self._inner_at = True, [], -1
        elif special == b">":
            self._in_angle = False
        elif special == b"@" and self._in_angle and self._inner is not None:
            self._inner_at = len(self._inner)
            self._inner.append(special)
        elif special == b"@":
            self._put(special)
            self._outer_at = len(self._outer) - 1
        elif self._in_angle and self._inner and self._inner[0] == b"@" and special in b",:":
            self._take_route(special)
        elif special == b":":
            self._take_colon()
        else:
            self._end_entry()
            if special == b";" and self._in_group:
                self._entries.append(_GROUP_END)
                self._in_group = False

    def _take_route(self, special: bytes) -> None:
        """A route-addr: `<@a,@b:local@domain>` (RFC 5322 §4.4)."""
        assert self._inner is not None
        if special == b",":
            self._inner.append(special)
        else:
            self._route = b"".join(self._inner)
            self._inner, self._inner_at = [], -1

    def _take_colon(self) -> None:
        if self._in_angle or self._in_group or self._inner is not None or self._outer_at >= 0:
            self._put(b":")
            return
        name = b"".join(self._outer).strip()
        self._start_entry()
        self._entries.append(ListedAddress(None, None, name, None))
        self._in_group = True

    def _end_entry(self) -> None:
        outer, inner = self._outer, self._inner
        if inner is not None:
            name = b"".join(outer).strip() or self._comment
            local_part, domain = _split_at(inner, self._inner_at)
        else:
            name = self._comment
            local_part, domain = _split_at(outer, self._outer_at)
        if local_part or domain or inner:
            self._entries.append(ListedAddress(name or None, self._route, local_part, domain))
        self._start_entry()


def _split_at(words: list[bytes], at: int) -> tuple[bytes, bytes]:
    """Return local-part and domain of words whose @ is the one at this index. White space around it and around dots
    is obsolete syntax (RFC 5322 §4.4) and no part of the address."""
    if at < 0:
        return b"".join(words).strip(), b""
    return (
        b"".join(word for word in words[:at] if not word.isspace()),
        b"".join(word for word in words[at + 1 :] if not word.isspace()),
    )
