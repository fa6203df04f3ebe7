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
        # RFC 5322 A.5 and A.6.3: folds, comments and white space wherever they may stand
        (
            b"Thu,\r\n      13\r\n        Feb\r\n          2003\r\n      23:32\r\n               -0330 (Newfoundland)",
            "2003-02-13T23:32:00-03:30",
        ),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T09:55:06-06:00"),
        (b"Fri,(a (b) \\) c) 21(d)Nov 1997 (e) 9:5:3 (f) -0600", "1997-11-21T09:05:03-06:00"),
        # asctime(3), date(1), Java's Date.toString()
        (b"Thu Feb 13 23:32:00 2003", "2003-02-13T23:32:00+00:00"),
        (b"Thu Feb  3 23:32:00 EST 2003", "2003-02-03T23:32:00-05:00"),
        (b"Thu Feb 13 23:32:00 +0100 2003", "2003-02-13T23:32:00+01:00"),
        (b"Thu Feb 13 23:32:00 2003 +0100", "2003-02-13T23:32:00+01:00"),
        (b"Thu, 13 Feb 2003 9:5:3 +0000", "2003-02-13T09:05:03+00:00"),
        (b"Thu, 13-Feb-03 23:32:00 EST", "2003-02-13T23:32:00-05:00"),
        (b"Thu, 3rd Feb 2003 23:32:00 +0000", "2003-02-03T23:32:00+00:00"),
        # Zones that are none
        (b"Mon, 24 Nov 2025 10:00:00 +9999", "2025-11-24T10:00:00+00:00"),
        (b"Mon, 24 Nov 2025 10:00:00 -2400", "2025-11-24T10:00:00+00:00"),
        # Zones behind words
        (b"Thu, 13 Feb 03 23:32 GMT+0100", "2003-02-13T23:32:00+01:00"),
        (b"Thu, 13 Feb 2003 23:32:00 Pacific Standard Time -0800", "2003-02-13T23:32:00-08:00"),
        (b"Thu, 13 Feb 2003 23:32:00 UT +01:00", "2003-02-13T23:32:00+01:00"),
        # RFC 3339, and American
        (b"2003-02-13T23:32:00Z", "2003-02-13T23:32:00+00:00"),
        (b"2003-02-13 23:32:00.123 +0100", "2003-02-13T23:32:00+01:00"),
        (b"Thursday, February 13, 2003 11:32 PM", "2003-02-13T23:32:00+00:00"),
        (b"Thu, 13 Feb 2003 12:01:00 a.m. -0500", "2003-02-13T00:01:00-05:00"),
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
        b"Mon, 24 Nov 2025 13:00:00 PM",
        b"Thu Feb 30 23:32:00 2003",
        b"Mon, 24 Nov 2025",
        b"(" * 5_000 + b"24 Nov 2025 10:00:00 +0000",
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


def test_written_year_has_four_digits():
    assert format_date(datetime(999, 1, 1, tzinfo=UTC)) == "Tue, 1 Jan 0999 00:00:00 +0000"


def test_written_date_has_a_zone():
    assert format_date(datetime(2025, 2, 3, tzinfo=UTC)).endswith("+0000")
    with pytest.raises(ValueError, match="zone"):
        format_date(datetime(2025, 2, 3))  # noqa: DTZ001
