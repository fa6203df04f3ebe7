"""What SEARCH can be asked for (RFC 3501 §6.4.4): the grammar, and the keys as values.

search     = "SEARCH" [SP "CHARSET" SP astring] 1*(SP search-key)
search-key = "NOT" SP search-key / "OR" SP search-key SP search-key / "(" search-key *(SP search-key) ")" /
             sequence-set / "UID" SP sequence-set / a word of the tables below with its argument
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Literal

from mailsuite.mail.charset import codec_of, decode_strictly
from mailsuite.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.grammar import LARGEST_SIZE, Scanner
from retrieval.imap.sequence_set import SequenceSet
from retrieval.imap.view import RECENT

# What BADCHARSET names, of all that mailsuite.mail.charset knows
CHARSETS = (
    "UTF-8 US-ASCII ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1250 WINDOWS-1251 WINDOWS-1252 KOI8-R KOI8-U GB18030 BIG5"
    " EUC-JP ISO-2022-JP SHIFT_JIS EUC-KR"
)
_CHARSET = re.compile(rb"CHARSET +", re.IGNORECASE)
_OR = re.compile(rb"OR +", re.IGNORECASE)


class Cost(IntEnum):
    """What answering a key takes: the view's arrays, a row of each message, its header, or its text."""

    VIEW = 0
    ROW = 1
    HEADER = 2
    TEXT = 3


@dataclass(frozen=True, slots=True)
class Among:
    """Messages of a sequence set, of uids when `by_uid`."""

    messages: SequenceSet
    by_uid: bool
    cost = Cost.VIEW


@dataclass(frozen=True, slots=True)
class HasFlag:
    bit: int
    cost = Cost.VIEW


@dataclass(frozen=True, slots=True)
class HasKeyword:
    keyword: str
    cost = Cost.VIEW


@dataclass(frozen=True, slots=True)
class Dated:
    """Internal or sent date before, on, or since (not before) the day, whatever the time and zone."""

    which: Literal["internal", "sent"]
    relation: Literal["before", "on", "since"]
    day: date

    @property
    def cost(self) -> Cost:
        """A row has the internal date; the sent date is read from the envelope."""
        return Cost.ROW if self.which == "internal" else Cost.HEADER


@dataclass(frozen=True, slots=True)
class Sized:
    relation: Literal["larger", "smaller"]
    octets: int
    cost = Cost.ROW


@dataclass(frozen=True, slots=True)
class HasField:
    """A header field of the name whose text contains the needle; any such field when that is empty."""

    name: bytes
    needle: str
    cost = Cost.HEADER


@dataclass(frozen=True, slots=True)
class HasText:
    """`where` as in MailStore.search_text."""

    where: str
    needle: str
    cost = Cost.TEXT


@dataclass(frozen=True, slots=True)
class Not:
    key: "SearchKey"

    @property
    def cost(self) -> Cost:
        """What its key costs."""
        return self.key.cost


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the keys, of which there are two at least; cheap keys first."""

    keys: "tuple[SearchKey, ...]"

    @property
    def cost(self) -> Cost:
        """What the dearest of its keys costs."""
        return max(key.cost for key in self.keys)


@dataclass(frozen=True, slots=True)
class All:
    """Every one of the keys, so all messages when there are none; cheap keys first."""

    keys: "tuple[SearchKey, ...]"

    @property
    def cost(self) -> Cost:
        """What the dearest of its keys costs."""
        return max((key.cost for key in self.keys), default=Cost.VIEW)


SearchKey = Among | HasFlag | HasKeyword | Dated | Sized | HasField | HasText | Not | Or | All

_FLAGS: dict[str, SearchKey] = {
    "ALL": All(()),
    "ANSWERED": HasFlag(ANSWERED),
    "DELETED": HasFlag(DELETED),
    "DRAFT": HasFlag(DRAFT),
    "FLAGGED": HasFlag(FLAGGED),
    "NEW": All((HasFlag(RECENT), Not(HasFlag(SEEN)))),
    "OLD": Not(HasFlag(RECENT)),
    "RECENT": HasFlag(RECENT),
    "SEEN": HasFlag(SEEN),
    "UNANSWERED": Not(HasFlag(ANSWERED)),
    "UNDELETED": Not(HasFlag(DELETED)),
    "UNDRAFT": Not(HasFlag(DRAFT)),
    "UNFLAGGED": Not(HasFlag(FLAGGED)),
    "UNSEEN": Not(HasFlag(SEEN)),
}
_ARGUMENTS: dict[str, Callable[["_Reading"], SearchKey]] = {
    "BCC": lambda reading: reading.text("bcc"),
    "BEFORE": lambda reading: Dated("internal", "before", reading.scanner.date()),
    "BODY": lambda reading: reading.text("body"),
    "CC": lambda reading: reading.text("cc"),
    "FROM": lambda reading: reading.text("from"),
    "HEADER": lambda reading: reading.header(),
    "KEYWORD": lambda reading: HasKeyword(reading.scanner.atom()),
    "LARGER": lambda reading: Sized("larger", reading.scanner.number(LARGEST_SIZE)),
    "ON": lambda reading: Dated("internal", "on", reading.scanner.date()),
    "SENTBEFORE": lambda reading: Dated("sent", "before", reading.scanner.date()),
    "SENTON": lambda reading: Dated("sent", "on", reading.scanner.date()),
    "SENTSINCE": lambda reading: Dated("sent", "since", reading.scanner.date()),
    "SINCE": lambda reading: Dated("internal", "since", reading.scanner.date()),
    "SMALLER": lambda reading: Sized("smaller", reading.scanner.number(LARGEST_SIZE)),
    "SUBJECT": lambda reading: reading.text("subject"),
    "TEXT": lambda reading: reading.text("text"),
    "TO": lambda reading: reading.text("to"),
    "UID": lambda reading: Among(reading.scanner.sequence_set(), True),
    "UNKEYWORD": lambda reading: Not(HasKeyword(reading.scanner.atom())),
}


def parse_search(scanner: Scanner) -> SearchKey:
    """Take the rest of a SEARCH. Raises BadCommand, and CommandRefused for a charset we don't have and for too much."""
    reading = _Reading(scanner)
    if scanner.match(_CHARSET):
        reading.codec = _codec_of(scanner.astring())
        scanner.space()
    keys = [reading.key(0)]
    while not scanner.at_end:
        scanner.space()
        keys.append(reading.key(0))
    return _all(keys)


@dataclass(slots=True)
class _Reading:
    scanner: Scanner
    codec: str = "utf_8"
    count: int = 0

    def key(self, depth: int) -> SearchKey:
        self._count(depth)
        if self.scanner.starts_with(b"("):
            return self._group(depth)
        if self.scanner.match(_OR):
            return self._either(depth)
        if self.scanner.starts_with(b"*") or self.scanner.next_is_digit():
            return Among(self.scanner.sequence_set(), False)
        word = self.scanner.keyword()
        if word in _FLAGS:
            return _FLAGS[word]
        if word not in _ARGUMENTS and word != "NOT":
            raise BadCommand("Unknown search key")
        self.scanner.space()
        if word == "NOT":
            return Not(self.key(depth + 1))
        return _ARGUMENTS[word](self)

    def text(self, where: str) -> SearchKey:
        needle = self._needle()
        if needle or where not in ("body", "text"):
            return HasText(where, needle) if needle else HasField(where.encode(), "")
        return All(())

    def header(self) -> SearchKey:
        name = self.scanner.astring().lower()
        self.scanner.space()
        return HasField(name, self._needle())

    def _needle(self) -> str:
        try:
            return decode_strictly(self.scanner.astring(), self.codec)
        except UnicodeError as error:
            charset = self.codec.upper().replace("_", "-")
            raise BadCommand(f"A search string is not in the charset {charset}") from error

    def _group(self, depth: int) -> SearchKey:
        keys = list(self.scanner.parenthesized(lambda: self.key(depth + 1)))
        if not keys:
            raise BadCommand("Expected a search key")
        return _all(keys)

    def _either(self, depth: int) -> SearchKey:
        """What stands behind an OR. Each further one in place of a key asks for one key more, however they are nested:
        clients write `OR a OR b c` and `OR OR a b c`, a hundred of them when they search for that many words."""
        keys, missing = list[SearchKey](), 2
        while missing:
            if self.scanner.match(_OR):
                self._count(depth)
                missing += 1
                continue
            key = self.key(depth)
            keys += key.keys if isinstance(key, Or) else (key,)
            missing -= 1
            if missing:
                self.scanner.space()
        return Or(_cheapest_first(keys))

    def _count(self, depth: int) -> None:
        """Raises CommandRefused for too many keys, or too deep."""
        self.count += 1
        limits = self.scanner.limits
        if depth > limits.search_depth:
            raise CommandRefused("LIMIT", f"The keys of a search may be nested {limits.search_depth} deep")
        if self.count > limits.search_keys:
            raise CommandRefused("LIMIT", f"A search may have {limits.search_keys} keys")


def _all(keys: list[SearchKey]) -> SearchKey:
    return keys[0] if len(keys) == 1 else All(_cheapest_first(keys))


def _cheapest_first(keys: list[SearchKey]) -> tuple[SearchKey, ...]:
    return tuple(sorted(keys, key=lambda key: key.cost))


def _codec_of(charset: bytes) -> str:
    codec = codec_of(charset)
    if codec is None:
        raise CommandRefused(f"BADCHARSET ({CHARSETS})", "Search strings can't be in that charset")
    return "utf_8" if codec == "ascii" else codec
