"""Date-times of header fields (RFC 5322 §3.3 and §4.3): read leniently, written strictly."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

_MONTHS = {name: at for at, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MONTH_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY_NAMES = "Mon Tue Wed Thu Fri Sat Sun".split()
_ZONES = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}
_DAY = timedelta(days=1)
_VALUE_OCTETS = 1_000  # looked at, folds and comments included
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*+\)")
_MAX_COMMENT_DEPTH = 5
_MONTH = rb"([A-Za-z]{3})[a-z]{0,6}\.?,?"
_TIME = rb"(\d{1,2}) ?[:.] ?(\d{1,2})(?: ?[:.] ?(\d{1,2})(?:[.,]\d{1,9})?)?(?: ?([AaPp])\.?[Mm]\.?(?![A-Za-z]))?"
# What nearly all mail has
_USUAL = re.compile(
    rb"(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d)( [+-]\d{4})(?: \([A-Z]{1,5}\))?"
)
# Each gives day, month or both ways round, year, and the time, and names them; white space is single spaces by then.
#   [day-of-week ","] day month year hour ":" minute [":" second] [zone]     RFC 5322 §3.3
_DAY_FIRST = re.compile(rb"(\d{1,2})(?:st|nd|rd|th)?[ -]" + _MONTH + rb"[ -](\d{2,4}),?[ ]" + _TIME)
#   day-of-week month day hour ":" minute ":" second [zone] year             asctime(3), date(1)
_ASCTIME = re.compile(_MONTH + rb" (\d{1,2}),? " + _TIME + rb"( (?:[+-]\d{4}|[A-Za-z]{1,5}))? (\d{4})\b")
#   month day "," year hour ":" minute                                      as people write it in America
_MONTH_FIRST = re.compile(_MONTH + rb" (\d{1,2}),? (\d{4}),? " + _TIME)
#   year "-" month "-" day ("T" / " ") hour ":" minute ":" second [zone]     RFC 3339
_YEAR_FIRST = re.compile(rb"(?<!\d)(\d{4})-(\d{2})-(\d{2})[T ]" + _TIME)
# A zone may stand behind words (`GMT+0100`, `UT -0500`, `Pacific Daylight Time -0700`).
_NUMERIC_ZONE = re.compile(rb"[^+-]{0,60}([+-])(\d{2}):?(\d{2})(?!\d)")
_NAMED_ZONE = re.compile(rb" ?([A-Za-z]{1,5})(?![A-Za-z])")

_Found = tuple[bytes, bytes, bytes, tuple[bytes | None, ...], bytes]
_READERS: tuple[tuple[re.Pattern[bytes], Callable[[re.Match[bytes]], _Found]], ...] = (
    (_DAY_FIRST, lambda found: (found[3], found[2], found[1], found.groups()[3:7], found.string[found.end() :])),
    (
        _ASCTIME,
        lambda found: (found[8], found[1], found[2], found.groups()[2:6], found[7] or found.string[found.end() :]),
    ),
    (_MONTH_FIRST, lambda found: (found[3], found[1], found[2], found.groups()[3:7], found.string[found.end() :])),
    (_YEAR_FIRST, lambda found: (found[1], found[2], found[3], found.groups()[3:7], found.string[found.end() :])),
)


def parse_date(value: bytes) -> datetime | None:
    """Return the date-time in a Date field's value in the zone it names (an unknown one counts as UTC), or None when
    there is none that both the calendar and UTC know."""
    if usual := _USUAL.fullmatch(value):
        day, month, year, hour, minute, second, zone = usual.groups()
        return _moment(year, month, day, (hour, minute, second, None), zone)
    plain = b" ".join(_without_comments(value[:_VALUE_OCTETS]).split())
    for pattern, read in _READERS:
        if match := pattern.search(plain):
            return _moment(*read(match))
    return None


def _without_comments(value: bytes) -> bytes:
    """RFC 5322 §3.2.2: comments count as white space, and may hold others."""
    for _ in range(_MAX_COMMENT_DEPTH if b"(" in value else 0):
        value = _COMMENT.sub(b" ", value)
    return value


def _moment(year: bytes, month: bytes, day: bytes, time: tuple[bytes | None, ...], rest: bytes) -> datetime | None:
    hour, minute, second, half = (part or b"" for part in time)
    try:
        result = datetime(
            *(_year(year), _month(month), int(day), _hour(int(hour), half), int(minute), min(int(second or 0), 59)),
            tzinfo=_zone(rest),
        )
        result.astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None
    return result


def _year(text: bytes) -> int:
    """RFC 5322 §4.3: two digits are of 1950 to 2049, three count from 1900."""
    year = int(text)
    if len(text) == 2 and year < 50:
        return year + 2000
    return year + 1900 if len(text) < 4 else year


def _month(text: bytes) -> int:
    return int(text) if text.isdigit() else _MONTHS[text.lower()]


def _hour(hour: int, half: bytes) -> int:
    """Raises ValueError."""
    if half and not 1 <= hour <= 12:
        raise ValueError("no such hour before or after noon")
    return hour if not half else hour % 12 + (12 if half in b"Pp" else 0)


def _zone(rest: bytes) -> tzinfo:
    """The zone; UTC for one that is none: the day and the hour are told nevertheless."""
    if match := _NUMERIC_ZONE.match(rest):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3])) * (-1 if match[1] == b"-" else 1)
    else:
        named = _NAMED_ZONE.match(rest)
        offset = timedelta(hours=_ZONES.get(named[1].lower() if named else b"", 0))
    return timezone(offset) if offset and abs(offset) < _DAY else UTC


def format_date(moment: datetime) -> str:
    """Return an aware date-time as RFC 5322 §3.3 writes it, in English whatever the locale."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a date in a message needs a time zone")
    return _format_second(moment.replace(microsecond=0), offset)


@lru_cache(maxsize=64)
def _format_second(moment: datetime, offset: timedelta) -> str:
    """Many messages share a second; the offset tells apart what compares equal in two zones."""
    day = f"{_DAY_NAMES[moment.weekday()]}, {moment.day} {_MONTH_NAMES[moment.month - 1]} {moment.year:04}"
    return (
        f"{day} {moment:%H:%M:%S} "
        f"{'-' if offset < timedelta(0) else '+'}{abs(offset) // timedelta(hours=1):02}"
        f"{abs(offset) // timedelta(minutes=1) % 60:02}"
    )
