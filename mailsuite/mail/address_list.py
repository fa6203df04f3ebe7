"""Address lists of header fields (RFC 5322 §3.4 and §4.4), read leniently and in linear time.

Names and addresses stay octets as received (encoded words too), less quotes and comments. What the grammar does not
know is taken for what its sender most likely meant; nothing raises. All that reads addresses of a header reads them
here (ENVELOPE, DMARC, submission, the junk filter), so that nobody can be shown another author than was checked.

White space joins nothing but around `.` and `@` (§4.4): two addresses without a comma between are two, and a word
behind or in front of one is no part of it.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mailsuite.mail.address_tokens import AddressTokens, Kind, Token

_REMARK = rb"\(([^()\\]*+)\)"
_ATOM = rb"[^\s\"()<>@,;:\[\]\\]++"
# The shapes that nearly all mail has: "Name" <local@domain>, Name (Sales) <local@domain>, local@domain <local@domain>,
# local@domain, local@domain (Name)
_SIMPLE = re.compile(
    rb'[ \t]*+(?:(?:"((?:[^"\\]++|\\.)*+)"[ \t]*+|([^"()<>@,;:\[\]\\]*+)(?:%b[ \t]*+)?+|(%b@%b)[ \t]++)'
    rb"<(%b)@(%b)>|(%b)@(%b)(?:[ \t]*+%b)?+)[ \t]*+(?:,|\Z)" % (_REMARK, *(_ATOM,) * 6, _REMARK)
)
_QUOTED_PAIR = re.compile(rb"\\(.)")
# Of one entry so many are looked at together: with all of a large field's there would be a hundred times its octets.
MAX_TOKENS = 1_000
# Of a list so much is read by tokens, which takes a hundred times as long as the usual shape; the rest is left out.
MAX_ODD_OCTETS = 256 * 1024
_NOT_ATEXT = re.compile(rb"[(),:;\[\]\\\x00-\x1f\x7f]")  # in an atom, or an encoded word that is read as one
_BLANK = (Kind.SPACE, Kind.COMMENT)


class ListedAddress(NamedTuple):
    """One entry, shaped as an address of RFC 3501 §7.4.2: `local_part` without `domain` opens the group of that name,
    neither ends it. An address written without a domain has an empty one; a name without an address, as in `Mailer <>`,
    has both empty."""

    name: bytes | None
    route: bytes | None
    local_part: bytes | None
    domain: bytes | None


class AddressList(NamedTuple):
    """What a field says. `is_mended`: others may read it differently, or not at all; `others` are entries that some of
    them may show beside `entries` or instead. `is_cut`: something past a bound is left out."""

    entries: list[ListedAddress]
    is_mended: bool = False
    others: tuple[ListedAddress, ...] = ()
    is_cut: bool = False


_GROUP_END = ListedAddress(None, None, None, None)


def read_authors(value: bytes) -> AddressList:
    """Return what an unfolded From, Sender or Reply-To says. Where one entry has a domain those without are passed
    over, and are among `others`: nobody writes from there, and in `Doe, Ann <ann@example.org>` they are a part of the
    name."""
    found = read_addresses(value)
    if not any(entry.domain for entry in found.entries) or all(entry.domain != b"" for entry in found.entries):
        return found
    kept: list[ListedAddress] = []
    words: list[bytes] = []
    passed_over = (entry for entry in found.entries if entry.domain == b"")
    for entry in found.entries:
        if entry.domain == b"":
            if entry.name:
                words = []
            elif entry.local_part:
                words.append(entry.local_part)
            continue
        if words and entry.name:
            entry = entry._replace(name=b", ".join((*words, entry.name)))
        kept.append(entry)
        words = []
    return found._replace(entries=kept, is_mended=True, others=(*found.others, *passed_over))


def first_author(value: bytes, most_octets: int) -> ListedAddress | None:
    """Return the first entry with an address, looking through so many octets: an entry that goes on behind them is
    none."""
    if len(value) > most_octets:
        value = value[: value.rfind(b",", 0, most_octets) + 1]
    found = [entry for entry in read_authors(value).entries if entry.domain is not None and entry.local_part]
    return found[0] if found else None


def read_addresses(value: bytes) -> AddressList:
    """Return what an unfolded field value says, with entries around the members of each group."""
    entries: list[ListedAddress] = []
    parser: _Parser | None = None
    is_mended = False
    at, end = 0, len(value)
    while at < end:
        match = _SIMPLE.match(value, at)
        if match is None:
            parser = parser or _Parser(value, entries)
            at = parser.read(at)
            continue
        entries.append(_usual(match))
        is_mended |= match[4] is not None
        at = match.end()
    if parser is None:
        return AddressList(entries, is_mended)
    parser.end()
    return AddressList(entries, is_mended or parser.is_mended, tuple(parser.others), parser.is_cut)


def _usual(match: re.Match[bytes]) -> ListedAddress:
    """The entry that _SIMPLE has found."""
    quoted, phrase, remark, address, local_part, domain, bare_local_part, bare_domain, bare_remark = match.groups()
    if quoted and b"\\" in quoted:
        quoted = _QUOTED_PAIR.sub(rb"\1", quoted)
    name = quoted or phrase or address or bare_remark or b""
    return ListedAddress(
        name.strip() or (remark or b"").strip() or None, None, local_part or bare_local_part, domain or bare_domain
    )


class _Parser:
    """The whole grammar, for what is not in the usual shape: tokens in, entries out. `_outer` holds the tokens outside
    angle brackets since the last comma or closing bracket, `_inner` those inside, None where there are none."""

    def __init__(self, value: bytes, entries: list[ListedAddress]) -> None:
        self._value, self._tokens = value, AddressTokens(value)
        self._entries = entries
        self._octets_left = MAX_ODD_OCTETS
        self._in_group = False
        self._outer: list[Token] = []
        self._inner: list[Token] | None = None
        self._has_at = False  # in `_outer`
        self._has_address = False  # since the last comma
        self.is_mended = self.is_cut = False
        self.others: list[ListedAddress] = []

    def read(self, start: int) -> int:
        """Read from an offset on, behind a comma or the list's first; return where an entry in the usual shape begins,
        or the end."""
        for token in self._tokens.beginning_at(start):
            self.is_mended |= token.kind is Kind.MARK or (
                token.kind is Kind.ATOM and bool(_NOT_ATEXT.search(token.text))
            )
            if token.kind is not Kind.SPECIAL:
                self._take_word(token)
            elif self._inner is not None:
                self._take_in_angle(token, self._inner)
            else:
                self._take_special(token)
            if token.end - start > self._octets_left:
                self._leave_out_the_rest()
                break
            is_between = token.kind is Kind.SPECIAL and token.text == b"," and self._inner is None
            if is_between and _SIMPLE.match(self._value, token.end):
                self._octets_left -= token.end - start
                return token.end
        return len(self._value)

    def end(self) -> None:
        """End what is open at the list's end."""
        self._end_entry()
        self._end_group()

    def _leave_out_the_rest(self) -> None:
        """With the entry that is not complete."""
        self.is_mended = self.is_cut = True
        self._outer, self._inner, self._has_at, self._has_address = [], None, False, False

    def _take_word(self, token: Token) -> None:
        words = self._outer if self._inner is None else self._inner
        words.append(token)
        if len(words) < MAX_TOKENS:
            return
        self.is_mended = self.is_cut = True
        if self._inner is not None:
            self._end_angle()
        elif self._has_at:
            if token.kind is Kind.SPACE or len(words) >= 2 * MAX_TOKENS:  # not between the parts of an address
                self._end_entry()
        else:  # of a name the first words can be spared, what stands before an @ can't
            del words[: MAX_TOKENS // 2]

    def _take_special(self, token: Token) -> None:
        match token.text:
            case b"<":
                self._inner = []
            case b">":
                self.is_mended = True
            case b"@":
                self._has_at = True
                self._take_word(token)
            case b":":
                self._take_colon(token)
            case _:
                self.is_mended |= not (self._in_group or self._outer or self._has_address)  # there is no entry
                self._end_entry()
                if token.text == b";":
                    self._end_group()

    def _take_in_angle(self, token: Token, inner: list[Token]) -> None:
        is_route = bool(inner) and inner[0].text == b"@"  # <@a,@b:local@domain> (RFC 5322 §4.4)
        match token.text:
            case b">":
                self._end_angle()
            case b"<" if not _has_at(inner):  # the first one is an ordinary character
                self.is_mended = True
                self._inner = None
                for word in (token._replace(kind=Kind.MARK), *inner):
                    self._take_word(word)
                self._inner = []
            case b"<":
                self.is_mended = True
                self._end_angle()
                self._inner = []
            case b"@" | b":":
                self._take_word(token)
            case b"," if is_route:
                self._take_word(token)
            case _:  # one that nothing closes
                self.is_mended = True
                self._end_angle()
                self._take_special(token)

    def _take_colon(self, token: Token) -> None:
        if self._in_group or self._has_address or self._has_at:
            self.is_mended = True
            self._take_word(token)
            return
        self._entries.append(ListedAddress(None, None, _text(self._outer), None))
        self._outer, self._in_group = [], True

    def _end_group(self) -> None:
        if self._in_group:
            self._entries.append(_GROUP_END)
        self._in_group = False

    def _end_angle(self) -> None:
        inner, name = self._inner or [], _text(self._outer) or _comment(self._outer)
        self.is_mended |= self._has_address  # a second address without a comma between: neither may hide
        self.is_mended |= any(token.kind is Kind.LITERAL for token in self._outer)
        route: bytes | None = None
        if inner and inner[0].text == b"@":
            self.is_mended = True
            ends = next((at for at, token in enumerate(inner) if token.text == b":"), 0)
            route, inner = _text(inner[:ends]) or None, inner[ends + 1 if ends else 0 :]
        found = _addresses(inner)
        self.others += found.others
        self.is_mended |= self._has_at or any(found.words) or len(found.entries) != 1
        text = _text(inner)
        if not found.entries and (text or name):  # bounces are from `MAILER-DAEMON <>`: the name is all that they say
            found.entries.append(ListedAddress(None, None, text, b""))
        if found.entries:
            words = found.entries[0].name or b""
            name = name or (words if not words.endswith(b":") else b"") or _comment(inner)  # <mailto:…>
            found.entries[0] = found.entries[0]._replace(name=name or None, route=route)
        self._entries += found.entries
        self._outer, self._inner = [], None
        self._has_at, self._has_address = False, True

    def _end_entry(self) -> None:
        if self._inner is not None:
            self.is_mended = True
            self._end_angle()
        outer, text = self._outer, _text(self._outer)
        if self._has_at:
            found = _addresses(outer)
            self.others += found.others
            self.is_mended |= self._has_address or any(found.words) or len(found.entries) != 1
            self._entries += found.entries
        elif self._has_address:
            self.is_mended |= bool(text)
            self._name_last(text or _comment(outer))
        elif text:
            self._entries.append(ListedAddress(_comment(outer) or None, None, text, b""))
        self._outer, self._has_at, self._has_address = [], False, False

    def _name_last(self, name: bytes) -> None:
        """What follows an address that has no name is taken for it."""
        if name and self._entries and self._entries[-1].name is None and self._entries[-1].local_part:
            self._entries[-1] = self._entries[-1]._replace(name=name)


class _Found(NamedTuple):
    """Addresses without brackets; `words` are those in front of each, and behind the last; `others` are those with a
    further label, for readers who take white space around dots for nothing wherever it stands."""

    entries: list[ListedAddress]
    words: list[bytes]
    others: list[ListedAddress]


def _addresses(tokens: Sequence[Token]) -> _Found:
    found = _Found([], [], [])
    taken = 0
    for at, token in enumerate(tokens):
        if token.kind is not Kind.SPECIAL or token.text != b"@" or at < taken:
            continue
        start, local_part = _local_part(tokens, at, taken)
        words = _text(tokens[taken:start])
        end, domain, longer = _domain(tokens, at)
        if found.entries and not words:
            _add_name(found.entries, _comment(tokens[taken:start]))
        found.words.append(words)
        if local_part or domain:
            found.entries.append(ListedAddress(words or None, None, local_part, domain))
        if longer:
            found.others.append(ListedAddress(None, None, local_part, longer))
        taken = end
    behind = _text(tokens[taken:])
    found.words.append(behind)
    if found.entries:
        _add_name(found.entries, behind or _comment(tokens[taken:]) or _comment(tokens))
    return found


def _add_name(entries: list[ListedAddress], name: bytes) -> None:
    if name and entries[-1].name is None:
        entries[-1] = entries[-1]._replace(name=name)


def _local_part(tokens: Sequence[Token], at: int, lowest: int) -> tuple[int, bytes]:
    """Where the local-part in front of the @ begins, and what it is: word *("." word)."""
    words: list[bytes] = []
    start = at
    while (index := _skip(tokens, start - 1, lowest - 1, -1)) >= lowest:
        token = tokens[index]
        if token.kind not in (Kind.ATOM, Kind.QUOTED) or (words and not _joins(token, tokens[start])):
            break
        words.append(token.text)
        start = index
    return start, b"".join(reversed(words))


def _domain(tokens: Sequence[Token], at: int) -> tuple[int, bytes, bytes]:
    """Where the domain behind the @ ends, and what it is: atoms around dots, or a literal. Then what it is when a dot
    at its end is not its last, or b""."""
    index = _skip(tokens, at + 1, len(tokens), 1)
    if index < len(tokens) and tokens[index].kind is Kind.LITERAL:
        return index + 1, tokens[index].text, b""
    words: list[bytes] = []
    end, whole = at + 1, (0, b"")
    while index < len(tokens) and tokens[index].kind is Kind.ATOM:
        token = tokens[index]
        if words and not _joins(tokens[end - 1], token):
            break
        if words and not whole[0] and _is_whole(tokens[end - 1], token):
            whole = end, b"".join(words)
        words.append(token.text)
        end = index + 1
        index = _skip(tokens, end, len(tokens), 1)
    return (*whole, b"".join(words)) if whole[0] else (end, b"".join(words), b"")


def _skip(tokens: Sequence[Token], index: int, stop: int, step: int) -> int:
    while index != stop and tokens[index].kind in _BLANK:
        index += step
    return index


def _joins(left: Token, right: Token) -> bool:
    """Whether there is a dot between the words."""
    ends = left.kind is Kind.ATOM and left.text.endswith(b".")
    return ends or (right.kind is Kind.ATOM and right.text.startswith(b"."))


def _is_whole(left: Token, right: Token) -> bool:
    """Whether the dot between the words is the last of a domain that was written with all its dots (RFC 1034 §3.1), and
    not the start of a further label."""
    return b"." in left.text.strip(b".") and not right.text.startswith(b".")


def _has_at(tokens: Sequence[Token]) -> bool:
    return any(token.kind is Kind.SPECIAL and token.text == b"@" for token in tokens)


def _text(tokens: Sequence[Token]) -> bytes:
    """What stands there, less comments."""
    return b"".join(token.text for token in tokens if token.kind is not Kind.COMMENT).strip()


def _comment(tokens: Sequence[Token]) -> bytes:
    return next((token.text for token in reversed(tokens) if token.kind is Kind.COMMENT), b"")
