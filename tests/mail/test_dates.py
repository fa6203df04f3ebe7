from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from mailsuite.mail.dates import format_date, parse_date


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Mon, 24 Nov 2025 10:00:00 +0100", "2025-11-24T10:00:00+01:00"),
        (b"24 Nov 2025 10:00 -0330", "2025-11-24T10:00:00-03:30"),
        (b"Mon,24 Nov 25 10:00:00 GMT", "2025-11-24T10:00:00+00:00"),
        (b"Fri, 1 Jan 99 00:00:00 EST", "1999-01-01T00:00:00-05:00"),
        (b"Fri, 1 Jan 103 00:00:00 +0000", "2003-01-01T00:00:00+00:00"),
        (b"Mon, 24 November 2025 10:00:60 +0000 (UTC)", "2025-11-24T10:00:59+00:00"),
        (b"24-Nov-2025 10:00:00 +0000", "2025-11-24T10:00:00+00:00"),
        (b"Mon, 24 Nov 2025 10:00:00", "2025-11-24T10:00:00+00:00"),
        (b"Mon, 24 Nov 2025 10:00:00 XYZ", "2025-11-24T10:00:00+00:00"),
    ],
)
def test_date_is_read(value, expected):
    moment = parse_date(value)
    assert moment is not None
    assert moment.isoformat() == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"yesterday",
        b"Mon, 31 Feb 2025 10:00:00 +0000",
        b"Mon, 24 Foo 2025 10:00:00 +0000",
        b"Mon, 24 Nov 2025 25:00:00 +0000",
        b"Mon, 24 Nov 2025 10:00:00 +9999",
        b"Mon, 24 Nov 0000 10:00:00 +0000",
        b"Sat, 1 Jan 0001 00:00:00 +0100",
    ],
)
def test_what_is_no_date(value):
    assert parse_date(value) is None


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=5, minutes=30), -timedelta(hours=3, minutes=30)])
def test_written_date_is_read_back(offset):
    moment = datetime(2025, 2, 3, 4, 5, 6, tzinfo=timezone(offset))
    text = format_date(moment)
    assert parse_date(text.encode()) == parsedate_to_datetime(text) == moment
    assert text.startswith("Mon, 3 Feb 2025 04:05:06 ")


def test_written_date_has_a_zone():
    assert format_date(datetime(2025, 2, 3, tzinfo=UTC)).endswith("+0000")
    with pytest.raises(ValueError, match="zone"):
        format_date(datetime(2025, 2, 3))  # noqa: DTZ001
