"""The tokens of IMAP commands (RFC 3501 §9), read from one complete command with its literals in place.

A literal stands in the octets as it came: `{3}` CRLF and three octets. Reading never goes back, so a command costs
time linear to its length whatever it holds. Where the grammar has one space any number is taken, and inside parentheses
too: there are client libraries that write it so.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.modified_utf7 import MalformedName, decode_name
from retrieval.imap.sequence_set import SequenceSet, parse_sequence_set

DELIMITER = "/"
MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")

T = TypeVar("T")

_SPACES = re.compile(rb" ++")
# ATOM-CHAR = any CHAR except "(" / ")" / "{" / SP / CTL / "%" / "*" / DQUOTE / "\" / "]"
_ATOM = re.compile(rb'[^(){ \x00-\x1f\x7f-\xff%*"\\\]]+')
_ASTRING = re.compile(rb'[^(){ \x00-\x1f\x7f-\xff%*"\\]+')
_LIST_ATOM = re.compile(rb'[^(){ \x00-\x1f\x7f-\xff"\\]+')
_TAG = re.compile(rb'[^(){ \x00-\x1f\x7f-\xff%*"\\+]+')
# quoted = DQUOTE *(TEXT-CHAR except quoted-specials / "\" quoted-specials) DQUOTE; 8-bit is let through: passwords
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*+)"')
_ESCAPED = re.compile(rb"\\(.)")
_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}\r?\n")
_NUMBER = re.compile(rb"\d{1,19}(?!\d)")
_SEQUENCE_SET = re.compile(rb"[0-9*:,]+")
_FLAG = re.compile(rb'\\?[^(){ \x00-\x1f\x7f-\xff%*"\\\]]+')
_DATE = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")
# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
_DATE_TIME = re.compile(rb'"([ \d]?\d)-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})"')
_LARGEST_NUMBER = 2**32 - 1
_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
_LAST_MOMENT = datetime.max.replace(microsecond=0, tzinfo=UTC)
LARGEST_SIZE = 2**63 - 1  # number64 of RFC 9051 §9


@dataclass(frozen=True, slots=True)
class GrammarLimits:
    """How much one command may ask for; beyond it NO [LIMIT] (RFC 5530) is answered."""

    search_keys: int = 1_000
    search_depth: int = 100  # of parentheses and NOT; a chain of OR, however long, is one level
    fetch_items: int = 200
    section_depth: int = 100
    field_names: int = 1_000  # of a header section


_NO_OTHER_LIMITS = GrammarLimits()


class Scanner:
    """A reading position in a command. Each method takes one token from there or raises BadCommand."""

    __slots__ = ("_octets", "_at", "limits")

    def __init__(self, octets: bytes, at: int = 0, limits: GrammarLimits = _NO_OTHER_LIMITS) -> None:
        self._octets, self._at, self.limits = octets, at, limits

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._octets)

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Take what the pattern matches here, if it does."""
        match = pattern.match(self._octets, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def starts_with(self, octets: bytes) -> bool:
        """Whether these octets stand here."""
        return self._octets.startswith(octets, self._at)

    def next_is_digit(self) -> bool:
        """Whether a digit stands here."""
        return self._octets[self._at : self._at + 1].isdigit()

    def accept(self, octets: bytes) -> bool:
        """Take exactly these octets, if they stand here."""
        if not self._octets.startswith(octets, self._at):
            return False
        self._at += len(octets)
        return True

    def expect(self, octets: bytes) -> None:
        """Take exactly these octets."""
        if not self.accept(octets):
            raise BadCommand(f"Expected {octets.decode()}")

    def space(self) -> None:
        """Take what parts two arguments."""
        if self.match(_SPACES) is None:
            raise BadCommand("Expected a space")

    def skip_spaces(self) -> None:
        """Take spaces, if there are any."""
        self.match(_SPACES)

    def parenthesized(self, take: Callable[[], T]) -> Iterator[T]:
        """Take a list in parentheses, each item by `take` when the iteration comes to it; it may be empty."""
        self.expect(b"(")
        self.skip_spaces()
        is_at_end = self.accept(b")")
        while not is_at_end:
            yield take()
            is_parted = self.match(_SPACES)
            is_at_end = self.accept(b")")
            if not (is_parted or is_at_end):
                raise BadCommand("Expected a space or )")

    def end(self) -> None:
        """Raises BadCommand unless nothing is left."""
        if not self.at_end:
            raise BadCommand("Unexpected argument at the end of the command")

    def rest(self) -> bytes:
        """Take all that is left."""
        rest, self._at = self._octets[self._at :], len(self._octets)
        return rest

    def tag(self) -> bytes | None:
        """Take a tag; None where none stands."""
        match = self.match(_TAG)
        return match[0] if match else None

    def atom(self) -> str:
        """Take an atom (RFC 3501 §9), in the case in which it is written."""
        match = self.match(_ATOM)
        if match is None:
            raise BadCommand("Expected an atom")
        return match[0].decode()

    def keyword(self) -> str:
        """Take an atom that is compared without case; returned in upper case."""
        return self.atom().upper()

    def number(self, largest: int = _LARGEST_NUMBER) -> int:
        """Take a number from 0 to `largest`."""
        match = self.match(_NUMBER)
        if match is None or int(match[0]) > largest:
            raise BadCommand(f"Expected a number of at most {largest}")
        return int(match[0])

    def string(self) -> bytes:
        """Take a quoted string or a literal, without the quotes or the announcement."""
        match = self.match(_QUOTED)
        if match is not None:
            return _ESCAPED.sub(rb"\1", match[1]) if b"\\" in match[1] else match[1]
        match = self.match(_LITERAL)
        if match is None:
            raise BadCommand("Expected a string")
        start = self._at
        self._at = start + int(match[1])
        value = self._octets[start : self._at]
        if len(value) < int(match[1]):
            raise BadCommand("A literal is incomplete")
        if b"\0" in value:
            raise BadCommand("A literal holds NUL")
        return value

    def nil_or_string(self) -> bytes | None:
        """Take an nstring; an atom is taken for a string, too."""
        match = self.match(_ASTRING)
        if match is None:
            return self.string()
        return None if match[0].upper() == b"NIL" else match[0]

    def astring(self) -> bytes:
        """Take an astring: an atom that may hold ], or a string."""
        match = self.match(_ASTRING)
        return match[0] if match else self.string()

    def list_pattern(self) -> bytes:
        """Take LIST's pattern: an atom that may hold wildcards, too, or a string."""
        match = self.match(_LIST_ATOM)
        return match[0] if match else self.string()

    def folder_name(self) -> str:
        """Take a mailbox, INBOX in whatever case as INBOX. Raises CommandRefused when it is no possible name. A % or *
        may stand in it without quotes: Python's imaplib never writes any."""
        return folder_name(self.list_pattern())

    def sequence_set(self) -> SequenceSet:
        """Take a sequence set (RFC 3501 §9)."""
        match = self.match(_SEQUENCE_SET)
        if match is None:
            raise BadCommand("Expected a sequence set")
        return parse_sequence_set(match[0])

    def flag(self) -> str:
        """Take a flag, with the backslash of a system flag, in the case in which it is written."""
        match = self.match(_FLAG)
        if match is None:
            raise BadCommand("Expected a flag")
        return match[0].decode()

    def flag_list(self) -> list[str]:
        """Take flags in parentheses."""
        return list(self.parenthesized(self.flag))

    def date(self) -> date:
        """Take a date, quoted or not."""
        quoted = self.accept(b'"')
        match = self.match(_DATE)
        if match is None or (quoted and not self.accept(b'"')):
            raise BadCommand("Expected a date such as 1-Feb-2026")
        try:
            return date(int(match[3]), _month(match[2]), int(match[1]))
        except ValueError as error:
            raise BadCommand("No such date") from error

    def date_time(self) -> datetime:
        """Take a date-time. What lies, in UTC, before the first year or behind the last is the first or last moment:
        programs write their earliest one in the user's zone, `01-Jan-0001 00:00:00 +0100`, for "no date"."""
        match = self.match(_DATE_TIME)
        if match is None:
            raise BadCommand('Expected a date-time such as "01-Feb-2026 12:00:00 +0000"')
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == b"-" else 1)
        try:
            moment = datetime(
                int(year), _month(month), int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC
            )
        except ValueError as error:
            raise BadCommand("No such date-time") from error
        try:
            return moment - offset
        except OverflowError:
            return _FIRST_MOMENT if offset > timedelta() else _LAST_MOMENT


def folder_name(octets: bytes) -> str:
    """Return a folder's name from modified UTF-7, INBOX in whatever case as INBOX, as first part of a name too.
    Raises CommandRefused."""
    try:
        name = decode_name(octets)
    except MalformedName as error:
        raise CommandRefused("CANNOT", f"Folder name is not valid modified UTF-7: {error}") from error
    first, delimiter, rest = name.partition(DELIMITER)
    return f"INBOX{delimiter}{rest}" if first.upper() == "INBOX" else name


def _month(name: bytes) -> int:
    return MONTHS.index(name.capitalize()) + 1
