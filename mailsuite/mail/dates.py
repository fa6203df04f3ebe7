"""Date-times of header fields (RFC 5322 §3.3 and §4.3): read leniently, written strictly."""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_MONTHS = {name: at for at, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MONTH_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY_NAMES = "Mon Tue Wed Thu Fri Sat Sun".split()
_ZONES = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}
# [day-of-week ","] day month year hour ":" minute [":" second] [zone]
_DATE = re.compile(
    rb"(\d{1,2})[ \t-]{1,9}([A-Za-z]{3})[a-z]{0,6}\.?[ \t-]{1,9}(\d{2,4})[ \t]{1,9}"
    rb"(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?:[ \t]{0,9}(?:([+-])(\d{2}):?(\d{2})|([A-Za-z]{1,5})))?"
)


def parse_date(value: bytes) -> datetime | None:
    """Return the date-time in a Date field's value in the zone it names (an unknown one counts as UTC), or None when
    there is none that both the calendar and UTC know."""
    match = _DATE.search(value[:200])
    if match is None:
        return None
    day, month, year_text, hour, minute, second, sign, zone_hours, zone_minutes, zone = match.groups()
    year = int(year_text)
    if len(year_text) < 4:  # RFC 5322 §4.3
        year += 2000 if len(year_text) == 2 and year < 50 else 1900
    if sign:
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == b"-" else 1)
    else:
        offset = timedelta(hours=_ZONES.get((zone or b"").lower(), 0))
    try:
        zone_info = timezone(offset) if offset else UTC
        result = datetime(
            year, _MONTHS[month.lower()], int(day), int(hour), int(minute), min(int(second or 0), 59), tzinfo=zone_info
        )
        result.astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None
    return result


def format_date(moment: datetime) -> str:
    """Return an aware date-time as RFC 5322 §3.3 writes it, in English whatever the locale."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a date in a message needs a time zone")
    return _format_second(moment.replace(microsecond=0), offset)


@lru_cache(maxsize=64)
def _format_second(moment: datetime, offset: timedelta) -> str:
    """Many messages share a second; the offset tells apart what compares equal in two zones."""
    return (
        f"{_DAY_NAMES[moment.weekday()]}, {moment.day} {_MONTH_NAMES[moment.month - 1]} {moment:%Y %H:%M:%S} "
        f"{'-' if offset < timedelta(0) else '+'}{abs(offset) // timedelta(hours=1):02}"
        f"{abs(offset) // timedelta(minutes=1) % 60:02}"
    )
