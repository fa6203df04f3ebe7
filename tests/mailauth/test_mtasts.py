"""MTA-STS, a row per rule of RFC 8461 §3 and §4."""

import pytest
from checkdmarc.mta_sts import parse_mta_sts_policy, parse_mta_sts_record

from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import Mode, Policy, PolicyError

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], None),
        ([b"v=spf1 -all"], None),
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1; id=1"], "1"),
        ([b"v=STSv1;\t id=1 \t; "], "1"),
        ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
        # Extensions, before and after; of a name that comes twice the first counts.
        ([b"v=STSv1; x-new=a:b/c; id=1; y.z=2;"], "1"),
        ([b"v=STSv1; id=1; id=2"], "1"),
        # Others' records at the name don't count (§3.1), and the version is case-sensitive.
        ([b"v=STSv1; id=1", b"v=STSv2; id=2", b"unrelated"], "1"),
        ([b"V=STSv1; id=1"], None),
        ([b"v=stsv1; id=1"], None),
        ([b" v=STSv1; id=1"], None),
        ([b"v=STSv1 ; id=1"], None),
        ([b"v=STSv1"], None),
    ],
)
def test_the_id_of_a_record(texts, found):
    assert mtasts.find_id(texts) == found


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], "there are 2 records"),
        ([b"v=STSv1;"], "no id"),
        ([b"v=STSv1; x=1"], "no id"),
        ([b"v=STSv1; id="], "1 to 32 letters and digits"),
        ([b"v=STSv1; id=" + b"a" * 33], "1 to 32 letters and digits"),
        ([b"v=STSv1; id=2026-11-24"], "1 to 32 letters and digits"),
        ([b"v=STSv1; id=1 2"], "1 to 32 letters and digits"),
        ([b"v=STSv1; ID=1"], "no id"),
        ([b"v=STSv1; id"], "no name=value"),
        ([b"v=STSv1;; id=1"], "no name=value"),
        ([b"v=STSv1; id=1; -x=1"], "no name=value"),
        ([b"v=STSv1; id=1; x=a b"], "no name=value"),
        ([b"v=STSv1; id=1; x=a=b"], "no name=value"),
        ([b"v=STSv1; id=1; " + b"x" * 33 + b"=1"], "no name=value"),
        (["v=STSv1; id=é".encode()], "outside ASCII"),
    ],
)
def test_a_record_that_is_none(texts, why):
    with pytest.raises(PolicyError, match=why):
        mtasts.find_id(texts)


@pytest.mark.parametrize(
    ("octets", "policy"),
    [
        (POLICY, Policy(Mode.ENFORCE, ("mail.example.com", "*.example.net"), 604800)),
        (POLICY.replace(b"\r\n", b"\n"), Policy(Mode.ENFORCE, ("mail.example.com", "*.example.net"), 604800)),
        (POLICY.rstrip(), Policy(Mode.ENFORCE, ("mail.example.com", "*.example.net"), 604800)),
        # Any order, blanks after the colon and at the end of a line, names of hosts in any case.
        (
            b"max_age:1 \nmx:\t MAIL.example.com. \nmode:testing\nversion:   STSv1\t\n\n",
            Policy(Mode.TESTING, ("mail.example.com",), 1),
        ),
        # Unknown fields are passed over, UTF-8 in them included; of those that come twice the first counts.
        (
            POLICY + "note: grüße: aus Köln\r\nmode: none\r\nmax_age: 5\r\n".encode(),
            Policy(Mode.ENFORCE, ("mail.example.com", "*.example.net"), 604800),
        ),
        (b"version: STSv1\nmode: none\nmax_age: 86400\n", Policy(Mode.NONE, (), 86400)),
        (b"version: STSv1\nmode: none\nmx: a.example\nmax_age: 0\n", Policy(Mode.NONE, ("a.example",), 0)),
        # §3.2: at most a year.
        (b"version: STSv1\nmode: none\nmax_age: 31557600", Policy(Mode.NONE, (), 31557600)),
        (b"version: STSv1\nmode: none\nmax_age: 9999999999", Policy(Mode.NONE, (), 31557600)),
        (b"version: STSv1\nmode: enforce\nmx: a.b\nmx: a.b\nmax_age: 1", Policy(Mode.ENFORCE, ("a.b",), 1)),
    ],
)
def test_a_policy(octets, policy):
    assert mtasts.parse_policy(octets) == policy


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "no version"),
        (b"mode: enforce\nmx: a.b\nmax_age: 1", "no version"),
        (b"version: STSv2\nmode: enforce\nmx: a.b\nmax_age: 1", "its version is 'STSv2'"),
        (b"version: STSv1\nmx: a.b\nmax_age: 1", "no mode"),
        (b"version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 1", "its mode is 'Enforce'"),
        (b"version: STSv1\nmode: report\nmx: a.b\nmax_age: 1", "its mode is 'report'"),
        (b"version: STSv1\nmode: enforce\nmax_age: 1", "names no mx"),
        (b"version: STSv1\nmode: testing\nmax_age: 1", "names no mx"),
        (b"version: STSv1\nmode: enforce\nmx: a.b", "no max_age"),
        (b"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: -1", "no number of seconds"),
        (b"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 1d", "no number of seconds"),
        (b"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 12345678901", "no number of seconds"),
        (b"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: \xd9\xa1", "no number of seconds"),
        (b"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1", "line 3 names '\\*'"),
        (b"version: STSv1\nmode: enforce\nmx: *.*.b\nmax_age: 1", "line 3"),
        (b"version: STSv1\nmode: enforce\nmx: a*.b\nmax_age: 1", "line 3"),
        (b"version: STSv1\nmode: enforce\nmx: .example.com\nmax_age: 1", "line 3"),
        (b"version: STSv1\nmode: enforce\nmx: a.b, c.d\nmax_age: 1", "line 3"),
        (b"version: STSv1\nmode: enforce\nmx:\nmax_age: 1", "line 3"),
        ("version: STSv1\nmode: enforce\nmx: bücher.example\nmax_age: 1".encode(), "line 3"),
        (b"version: STSv1\nmode = enforce\nmx: a.b\nmax_age: 1", "line 2"),
        (b"version: STSv1\nmode : enforce\nmx: a.b\nmax_age: 1", "line 2"),
        (b" version: STSv1\nmode: none\nmax_age: 1", "line 1"),
        (b"version: STSv1\nmode: none\nmax_age: 1\nnote: \x00", "control characters"),
        (b"version: STSv1\nmode: none\rmax_age: 1", "control characters"),
        (b"<html>", "line 1"),
        (b"\xff\xfe", "UTF-8"),
        (b"\xef\xbb\xbf" + POLICY, "line 1"),
        (POLICY + b"x: " + b"y" * 65536, "larger than 64 KB"),
        (b"version: STSv1\nmode: enforce\n" + b"mx: a.b\n" * 501 + b"max_age: 1", "501 hosts"),
    ],
)
def test_a_policy_that_is_none(octets, why):
    with pytest.raises(PolicyError, match=why):
        mtasts.parse_policy(octets)


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("mail.example.com", "mail.example.com", True),
        ("mail.example.com", "MAIL.Example.COM.", True),
        ("mail.example.com", "other.example.com", False),
        ("*.example.com", "mail.example.com", True),
        ("*.Example.com", "mail.example.COM", True),
        # §4.1: the wildcard is the whole of the leftmost label, and one label.
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "a.mail.example.com", False),
        ("*.example.com", "mail.notexample.com", False),
        ("example.com", "mail.example.com", False),
        ("mail.example.com", "", False),
    ],
)
def test_matching_of_hosts(pattern, host, fits):
    assert mtasts.matches(pattern, host) is fits
    assert Policy(Mode.ENFORCE, ("none.example", pattern), 1).allows(host) is fits


@pytest.mark.parametrize(
    ("status", "content_type", "why"),
    [
        (200, "text/plain", None),
        (200, "Text/Plain; charset=utf-8", None),
        (301, "text/plain", "301 and sends elsewhere"),
        (302, "text/plain", "302 and sends elsewhere"),
        (304, "text/plain", "304 and sends elsewhere"),
        (404, "text/plain", "answers 404"),
        (500, "text/plain", "answers 500"),
        (204, "text/plain", "answers 204"),
        (200, "text/html", "is text/html"),
        (200, "", "is missing"),
        (200, "text/plainer", "text/plainer"),
    ],
)
def test_what_the_server_must_answer(status, content_type, why):
    if why is None:
        mtasts.check_response(status, content_type)
    else:
        with pytest.raises(PolicyError, match=why):
            mtasts.check_response(status, content_type)


def test_names():
    assert mtasts.record_name("example.com") == "_mta-sts.example.com"
    assert mtasts.policy_url("example.com") == "https://mta-sts.example.com/.well-known/mta-sts.txt"


@pytest.mark.parametrize("mode", Mode)
def test_what_we_write_is_read_by_ourselves_and_by_checkdmarc(mode):
    policy = Policy(mode, ("mx.example.com", "*.example.net"), 604800)
    octets = mtasts.render_policy(policy)
    assert octets.endswith(b"max_age: 604800\r\n") and octets.count(b"\n") == octets.count(b"\r\n")
    assert mtasts.parse_policy(octets) == policy
    theirs = parse_mta_sts_policy(octets.decode())["policy"]
    assert (theirs["mode"], theirs["mx"], theirs["max_age"]) == (mode.value, list(policy.mx), 604800)
    record = mtasts.render_record(mtasts.policy_id(policy))
    assert mtasts.find_id([record.encode()]) == mtasts.policy_id(policy)
    assert parse_mta_sts_record(record)["tags"]["id"] == mtasts.policy_id(policy)


def test_the_id_changes_with_the_content_and_only_with_it():
    policies = [Policy(mode, (mx,), age) for mode in Mode for mx in ("a.b", "c.d") for age in (1, 2)]
    assert len({mtasts.policy_id(policy) for policy in policies}) == len(policies)
    assert mtasts.policy_id(policies[0]) == mtasts.policy_id(Policy(Mode.ENFORCE, ("a.b",), 1))
