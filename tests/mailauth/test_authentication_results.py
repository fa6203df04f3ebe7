"""RFC 8601: what is written parses elsewhere, what is read is read leniently, and nothing passes for ours."""

import authres
import pytest

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.authentication_results import ParsedResults, Result, build, claiming, parse, payload

OURS = "mx.example.net"
RESULTS = [
    Result("iprev", "pass", (("policy.iprev", "2001:db8::1"),)),
    Result("spf", "pass", (("smtp.mailfrom", "a@example.com"), ("smtp.helo", "h.example.com"))),
    Result("dkim", "pass", (("header.d", "example.com"), ("header.b", "dB+/=x")), "2048-bit rsa"),
    Result("dkim", "fail", (("header.d", "example.org"),), reason='body hash "differs"'),
    Result("dmarc", "pass", (("header.from", "example.com"), ("policy.dmarc", "reject"))),
]


def test_what_is_written_is_read_alike_by_authres_and_by_us():
    field = build(OURS, RESULTS)
    assert field.endswith(b"\r\n") and b"\r\n\r\n" not in field
    theirs = authres.AuthenticationResultsHeader.parse(field.decode().strip())
    assert theirs.authserv_id == OURS
    assert [(one.method, one.result) for one in theirs.results] == [(one.method, one.result) for one in RESULTS]
    assert theirs.results[3].reason == r"body hash \"differs\""  # it leaves the quoting in
    ours = parse(field.partition(b":")[2])
    assert ours.authserv_id == OURS
    assert [one.properties for one in ours.results] == [one.properties for one in RESULTS]


def test_nothing_checked_is_said_so():
    assert build(OURS, []) == b"Authentication-Results: mx.example.net;\r\n\tnone\r\n"
    assert parse(b" mx.example.net; none") == ParsedResults(OURS)


def test_the_payload_is_what_arc_seals():
    assert build(OURS, RESULTS) == b"Authentication-Results: " + payload(OURS, RESULTS) + b"\r\n"


@pytest.mark.parametrize(
    "value",
    ["a\r\nX-Evil: yes", 'say "hi"', "back\\slash", "semi; dkim=pass", "\x00\x1b[31m", "x" * 5000, "\u2028", "\ud800"],
)
def test_hostile_values_end_nothing(value):
    hostile = [
        Result("spf", "pass", (("smtp.mailfrom", value),), value, value),
        Result("dmarc", "fail", (("header.from", "example.com"),)),
    ]
    field = build(OURS, hostile)
    assert b"\n" not in field.replace(b"\r\n\t", b"").removesuffix(b"\r\n")
    assert max(map(len, field.split(b"\r\n"))) < 998
    assert field.isascii()
    read = parse(field.partition(b":")[2])
    assert [(one.method, one.result) for one in read.results] == [("spf", "pass"), ("dmarc", "fail")]


def test_more_than_ascii_only_in_internationalized_mail():
    result = Result("spf", "pass", (("smtp.mailfrom", "jürgen@example.com"),))
    assert build(OURS, [result]).isascii()
    assert "jürgen" in build(OURS, [result], utf8=True).decode()


# Every one of these claims to be ours, whatever it looks like.
FORGED = [
    b"Authentication-Results: mx.example.net; dkim=pass header.d=bank.example",
    b"authentication-results: mx.example.net; none",
    b"AUTHENTICATION-RESULTS : MX.Example.NET; spf=pass",
    b"Authentication-Results\t:mx.example.net;spf=pass",
    b"Authentication-Results:\r\n\tmx.example.net;\r\n\tspf=pass",
    b"Authentication-Results: mx.example.net 1; spf=pass",
    b"Authentication-Results: mx.example.net\r\n 1\r\n ;\r\n spf=pass",
    b"Authentication-Results: mx.example.net/1; spf=pass",
    b"Authentication-Results: (hello (there)) mx.example.net (x); spf=pass",
    b"Authentication-Results: (a \\) b) mx.example.net; spf=pass",
    b'Authentication-Results: "mx.example.net"; spf=pass',
    b'Authentication-Results: "mx.\\example.net"; spf=pass',
    b'Authentication-Results: "" mx.example.net; spf=pass',
    b"Authentication-Results: mx.example.net.; spf=pass",
    b"Authentication-Results: mx.example.net",
    b"Authentication-Results: mx.example.net spf=pass",
    b"Authentication-Results: old.example.net; spf=pass",
    "Authentication-Results: mx.bücher.example; spf=pass".encode(),
    b"Authentication-Results: mx.xn--bcher-kva.example; spf=pass",
    b"Authentication-Results: (;) mx.example.net; spf=pass",
    b"Authentication-Results: mx(x).example (y) .net; spf=pass",
    b"Authentication-Results: ; mx.example.net; spf=pass",
    b"Authentication-Results: =?us-ascii?q?mx.example.net?=; spf=pass",
    # What begins with so much of anything is no honest host's
    b"Authentication-Results: (" + b"x" * 20_000 + b") mx.example.net; spf=pass",
    b"Authentication-Results: " + b"\r\n " * 600 + b"mx.example.net; spf=pass",
    b"Authentication-Results: " + b"x " * 600 + b"mx.example.net; spf=pass",
]
OTHERS = [
    b"Authentication-Results: mx.example.org; dkim=pass",
    b"Authentication-Results: notmx.example.net; dkim=pass",
    b"Authentication-Results: mx.example.net.evil.test; dkim=pass",
    b"Authentication-Results: mx.example.org; spf=pass smtp.helo=mx.example.net",
    b"Authentication-Results: spf=pass smtp.helo=mx.example.net",
    b"Authentication-Results: mx.example.org (mx.example.net); dkim=pass",
    b"X-Authentication-Results: mx.example.net; dkim=pass",
    b"ARC-Authentication-Results: i=1; mx.example.net; dkim=pass",
    b"Subject: Authentication-Results: mx.example.net; dkim=pass",
    b"Subject: folded\r\n Authentication-Results: mx.example.net; dkim=pass",
    b"Authentication-Results:",
    b"Authentication-Results: ;;;=;=",
    b"Authentication-Results: mx.example.org; mx.example.net; dkim=pass",
    b"Authentication-Results: mx.example.org;" + b" (x)" * 1000 + b"; spf=pass",
]
IDS = ["mx.example.net", "old.example.net", "mx.bücher.example"]


def strip(block, ids):
    header = Header.parse(block)
    places = claiming(header, ids)
    return header.without(places).block, len(places)


@pytest.mark.parametrize("field", FORGED)
def test_what_claims_to_be_ours_is_removed(field):
    block = b"Received: x\r\n" + field + b"\r\nFrom: a@b.example\r\n\r\n"
    assert strip(block, IDS) == (b"Received: x\r\nFrom: a@b.example\r\n\r\n", 1)
    assert strip(field + b"\r\n\r\n", IDS) == (b"\r\n", 1)


@pytest.mark.parametrize("field", OTHERS)
def test_everything_else_stays_octet_for_octet(field):
    block = b"Received: x\r\n" + field + b"\r\nFrom: a@b.example\r\n\r\n"
    assert strip(block, IDS) == (block, 0)


def test_all_of_them_are_removed_and_counted():
    block = b"\r\n".join([*FORGED, *OTHERS, b"", b""])
    kept, count = strip(block, IDS)
    assert count == len(FORGED)
    assert kept == b"\r\n".join([*OTHERS, b"", b""])


def test_fields_of_others():
    microsoft = (
        b" spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=example.com; dkim=pass (signature was verified)\r\n"
        b" header.d=example.com;dmarc=pass action=none\r\n header.from=example.com;compauth=pass reason=100"
    )
    read = parse(microsoft)
    assert read.authserv_id == ""
    assert [(one.method, one.result) for one in read.results] == [
        ("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass"), ("compauth", "pass"),
    ]  # fmt: skip
    assert read.results[1].properties == (("header.d", "example.com"),)
    google = b" mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=s1 header.b=Ab12;\r\n spf=none"
    assert parse(google).results[0].properties[0] == ("header.i", "@example.com")


def test_hostile_fields_are_read_in_linear_work():
    for value in (b"(" * 200_000, b'"' * 200_000, b"a;" * 100_000, b"=" * 200_000, b"\\" * 200_000):
        parse(value)
        strip(b"Authentication-Results: " + value + b"\r\n\r\n", [OURS])
    many = b"Authentication-Results: mx.example.net; x=y\r\n" * 5000
    assert strip(many + b"\r\n", [OURS]) == (b"\r\n", 5000)


def test_a_crowd_of_fields_is_not_read():
    """No mail has been through a hundred checks: what comes after them goes, whomever it names."""
    crowd = b"Authentication-Results: mx.example.org; x=y\r\n" * 1000
    kept, count = strip(crowd + b"Authentication-Results: mx.example.net; x=y\r\nFrom: a@b.example\r\n\r\n", [OURS])
    assert (count, kept.count(b"mx.example.org"), b"mx.example.net" in kept) == (901, 100, False)
    assert kept.endswith(b"\r\nFrom: a@b.example\r\n\r\n")
