"""Shapes made to cost time: the work for eight times the octets is at most some ten times as much.

Work is counted as calls made; what loops inside a pattern or a search shows only as time, and would run into the
time-out by orders of magnitude at these sizes.
"""

import sys

import pytest

from mailsuite.mail.address import AddressError, parse_path_and_parameters
from mailsuite.mail.address_list import read_addresses
from mailsuite.mail.header import missing_blank_line
from mailsuite.mail.message import ParseLimits, parse_message

WIDE = ParseLimits(
    header_octets=1 << 30, fields=1 << 30, parts=1 << 30, structure_octets=1 << 30, false_delimiters=1 << 30
)
MIXED = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"

SHAPES = {
    "folded lines": lambda n: b"Subject: a\r\n" + b" b\r\n" * n + b"\r\n",
    "folded blank lines": lambda n: b"From: a\r\n" + b" \r\n" * n + b"\r\n",
    "fields": lambda n: b"A: b\r\n" * n + b"\r\n",
    "fields of recipients": lambda n: b"To: b@c\r\n" * n + b"\r\n",
    "messages with recipients": lambda n: (
        (b"Content-Type: message/rfc822\r\nTo: " + b"a@b," * 40 + b"\r\n\r\n") * (n // 100)
    ),
    "spaces in From": lambda n: b"From: a" + b" " * n + b"b\r\n\r\n",
    "spaces in Subject": lambda n: b"Subject: a" + b" " * n + b"b\r\n\r\n",
    "spaces in Content-Type": lambda n: b"Content-Type: text/plain;" + b" " * n + b"x\r\n\r\n",
    "spaces before a slash": lambda n: b"Content-Type: text" + b" " * n + b"x\r\n\r\n",
    "spaces in Date": lambda n: b"Date: 1" + b" " * n + b"x\r\n\r\n",
    "parameters": lambda n: b"Content-Type: text/plain" + b"; a=b" * n + b"\r\n\r\n",
    "semicolons": lambda n: b"Content-Type: text/plain" + b"; " * n + b"\r\n\r\n",
    "open quotes": lambda n: b'Content-Type: text/plain; a="' + b'\\"' * n + b"\r\n\r\n",
    "quotes in a type": lambda n: b"Content-Type: a/b; " + b'\\" ' * n + b"\r\n\r\n",
    "comments in a type": lambda n: b"Content-Type: a/b " + b"(a) " * n + b"; c=d\r\n\r\n",
    "comments before names": lambda n: b"Content-Type: a/b" + b";(a) name (b) = c (d) e" * n + b"\r\n\r\n",
    "open comments in a type": lambda n: b"Content-Type: a/b; c=" + b"(;" * n + b"\r\n\r\n",
    "nested comments in a type": lambda n: b"Content-Type: a/b; name=c " + b"(" * n + b")" * n + b"\r\n\r\n",
    "words that are no parameters": lambda n: b"Content-Type: a/b" + b" c" * n + b"\r\n\r\n",
    "sections": lambda n: b"Content-Type: a/b" + b"; n*0*=%41; n*1=b" * n + b"\r\n\r\n",
    "escapes": lambda n: b"Content-Type: multipart/mixed; boundary*=''" + b"%41" * n + b"\r\n\r\n",
    "languages": lambda n: b"Content-Language: " + b"(a), b" * n + b"\r\n\r\n",
    "open languages": lambda n: b"Content-Language: " + b"(" * n + b"\r\n\r\n",
    "quoted strings": lambda n: b'From: "a' + b'\\"' * n + b"\r\n\r\n",
    "quotes": lambda n: b"From: " + b'" ' * n + b"\r\n\r\n",
    "open comments": lambda n: b"From: " + b"(" * n + b"\r\n\r\n",
    "comments": lambda n: b"From: " + b"(a)" * n + b"\r\n\r\n",
    "open angles": lambda n: b"From: " + b"<" * n + b"\r\n\r\n",
    "open literals": lambda n: b"From: a@" + b"[" * n + b"\r\n\r\n",
    "at signs": lambda n: b"From: " + b"@" * n + b"\r\n\r\n",
    "groups": lambda n: b"To: " + b"a:" * n + b"\r\n\r\n",
    "routes": lambda n: b"To: <" + b"@a," * n + b"\r\n\r\n",
    "addresses": lambda n: b"To: " + b"a@b, " * n + b"\r\n\r\n",
    "simple, then not": lambda n: b"To: " + b"a@b, " * n + b"(\r\n\r\n",
    "encoded words": lambda n: b"Subject: " + b"=?utf-8?q?a?= " * n + b"\r\n\r\n",
    "question marks in a word": lambda n: b"Subject: =?utf-8?q?" + b"?" * n + b"\r\n\r\n",
    "equal signs in a word": lambda n: b"Subject: =?utf-8?q?" + b"=?" * n + b"\r\n\r\n",
    "comments in Date": lambda n: b"Date: " + b"(a" * n + b")\r\n\r\n",
    "half encoded words": lambda n: b"Subject: " + b"=?utf-8?q?" * n + b"\r\n\r\n",
    "references": lambda n: b"References: " + b"<a@b> " * n + b"\r\n\r\n",
    "open references": lambda n: b"References: " + b"<" * n + b"\r\n\r\n",
    "parts": lambda n: MIXED + b"--x\r\n\r\n" * n,
    "empty parts": lambda n: MIXED + b"--x\n" * n,
    "false delimiters": lambda n: MIXED + b"--xy\r\n" * n,
    "dashes": lambda n: MIXED + b"--" * n,
    "dashed lines": lambda n: MIXED + b"\n--" * n,
    "blank delimiters": lambda n: MIXED + b"--x" + b" " * n,
    "nested boundaries": lambda n: b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(n // 10)
    ),
    "nested messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * (n // 10),
    "line ends": lambda n: b"A: b\r\n\r\n" + b"\n" * n,
    "carriage returns": lambda n: b"Subject: " + b"\r" * n + b"\r\n\r\n",
    "no line end": lambda n: b"a" * n,
    "colons": lambda n: b":\n" * n,
    "nulls": lambda n: b"Subject: " + b"\0" * n,
}


def _calls(work):
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.timeout(60)
@pytest.mark.parametrize("limits", [ParseLimits(), WIDE], ids=["usual limits", "wide limits"])
@pytest.mark.parametrize("shape", SHAPES)
def test_work_is_in_proportion(shape, limits):
    small, large = SHAPES[shape](2_500), SHAPES[shape](20_000)
    assert _calls(lambda: parse_message(large, limits)) <= 10 * _calls(lambda: parse_message(small, limits)) + 1_000


ADDRESSES = {
    "words and blanks": lambda n: b"a (b) " * n + b"@c " * n,
    "parentheses": lambda n: b"(" * n + b"\\(a)" * n,
    "stray quotes": lambda n: b'\\"a' * n + b" <" * n,
    "dots": lambda n: b"To: a@b" + b" ." * n + b" c:" * n,
    "encoded words": lambda n: b"=?a?q?" * n + b"=?a?q?b,c?= " * n,
    "brackets": lambda n: b"[a" * n + b"@[" * n,
}


@pytest.mark.parametrize("shape", ADDRESSES)
def test_addresses_are_read_in_proportion(shape):
    small, large = ADDRESSES[shape](100), ADDRESSES[shape](800)
    assert _calls(lambda: read_addresses(large).entries) <= 10 * _calls(lambda: read_addresses(small).entries) + 1_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", SHAPES)
def test_large_shapes_are_described(shape):
    octets = SHAPES[shape](100_000)
    missing_blank_line(octets)
    assert parse_message(octets).parts.end == len(octets)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "argument",
    [
        "<" + "a" * 100_000,
        "<" + "a." * 100_000 + "@b>",
        '<"' + "\\a" * 100_000 + ">",
        "<@" + "a,@" * 100_000 + ":a@b>",
        "<a@" + "b." * 100_000 + "c>",
        "<a@" + "ü" * 100_000 + ">",
        "<a@" + "ü." * 50_000 + "c>",
        "<a@b.c>" + " " * 100_000 + "=",
        "<a@b.c> " + "A" * 100_000 + "=",
    ],
)
def test_overlong_paths_are_refused(argument):
    with pytest.raises(AddressError):
        parse_path_and_parameters(argument)


TIGHT = ParseLimits(
    depth=3,
    parts=10,
    header_octets=2_000,
    fields=20,
    structure_octets=2_000,
    nested_address_octets=500,
    false_delimiters=10,
    searched_octets=1 << 20,
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", SHAPES)
def test_past_the_limits_more_octets_are_no_more_work(shape):
    """Behind them nothing is made of what is there but a search for the fields that tell what a mail is."""
    small, large = SHAPES[shape](5_000), SHAPES[shape](40_000)
    assert _calls(lambda: parse_message(large, TIGHT)) <= _calls(lambda: parse_message(small, TIGHT)) + 1_500
