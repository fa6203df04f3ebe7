"""RFC 6376, 8301, 8463 and 8616, rule by rule: what a signature and a key may say, and what comes of it."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dkim_craft import BODY, HEADER, NOW, check, craft
from oracles import TestKey, zone_of

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim import HeaderFields, find_signatures, key_names
from mailsuite.resolver.answers import Answer, Status, ZoneResolver

RSA = TestKey("example.org", "r1", rsa.generate_private_key(65537, 2048))
ED25519 = TestKey("example.org", "e1", ed25519.Ed25519PrivateKey.generate())
ZONE = zone_of(RSA, ED25519)

# What differs from a good signature, the result, and words of the reason.
SIGNATURES = [
    # §3.2: the tag list
    ({}, "pass", ""),
    ({"unknown": "ignored"}, "pass", ""),
    ({"x-1": "a tag of the signer's own"}, "pass", ""),
    ({"1x": "no name"}, "permerror", "no name=value"),
    ({"x.y": "no name"}, "permerror", "no name=value"),
    ({"d": "example.org; d=example.org"}, "permerror", "d= stands in it twice"),
    ({"n": ""}, "pass", ""),
    ({"n": "\x01"}, "permerror", "control character"),
    ({"n": "x;"}, "permerror", "no name=value"),
    ({"V": "1"}, "pass", ""),
    ({"v": None, "V": "1"}, "permerror", "no v="),
    ({"a": "\r\n\trsa-sha256\r\n "}, "pass", ""),
    # v=
    ({"v": None}, "permerror", "no v="),
    ({"v": "2"}, "neutral", "unknown version"),
    ({"v": "1.0"}, "neutral", "unknown version"),
    # a= (RFC 8301 §3.1)
    ({"a": None}, "permerror", "no a="),
    ({"a": ""}, "permerror", "no a="),
    ({"a": "rsa-sha1"}, "policy", "rsa-sha1"),
    ({"a": "rsa-sha512"}, "neutral", "unknown algorithm"),
    ({"a": "rsa"}, "neutral", "unknown algorithm"),
    # b=, bh=
    ({"b": ""}, "permerror", "no b="),
    ({"b": "a==="}, "permerror", "b= is no base64"),
    ({"b": "a"}, "permerror", "b= is no base64"),
    ({"b": "AAAA"}, "fail", "does not match"),
    ({"b": "AA AA"}, "fail", "does not match"),
    ({"b": base64.b64encode(bytes(256)).decode()}, "fail", "does not match"),
    ({"b": base64.b64encode(b"\xff" * 256).decode()}, "fail", "does not match"),
    ({"bh": None}, "permerror", "no bh="),
    ({"bh": "a==="}, "permerror", "bh= is no base64"),
    ({"bh": "AAAA"}, "permerror", "no SHA-256"),
    ({"bh": base64.b64encode(bytes(32)).decode()}, "fail", "the body has been changed"),
    # c=
    ({"c": None}, "pass", ""),
    ({"c": "relaxed"}, "pass", ""),
    ({"c": "simple"}, "pass", ""),
    ({"c": "simple/relaxed"}, "pass", ""),
    ({"c": "relaxed/simple"}, "pass", ""),
    ({"c": "nowsp/simple"}, "permerror", "c="),
    ({"c": "relaxed/nowsp"}, "permerror", "c="),
    ({"c": "relaxed/relaxed/relaxed"}, "permerror", "c="),
    # d=, s=
    ({"d": None}, "permerror", "no d="),
    ({"s": None}, "permerror", "no s="),
    ({"d": "example..org"}, "permerror", "d= is no domain"),
    ({"d": "exam ple.org"}, "permerror", "d= is no domain"),
    ({"d": "EXAMPLE.org"}, "pass", ""),
    ({"s": "R1"}, "pass", ""),
    ({"s": "a_b"}, "permerror", "no key at a_b._domainkey.example.org"),
    ({"s": "x" * 64}, "permerror", "s= is no domain"),
    ({"s": "a..b"}, "permerror", "s= is no domain"),
    ({"s": "a."}, "permerror", "s= is no domain"),
    ({"s": "20230601"}, "permerror", "no key at 20230601._domainkey.example.org"),
    ({"s": "2023.0601"}, "permerror", "no key at 2023.0601._domainkey.example.org"),
    ({"d": ".".join(["abcdefgh"] * 40)}, "permerror", "d= is no domain"),
    # h=
    ({"h": None}, "permerror", "no h="),
    ({"h": "to:subject"}, "permerror", "From is not signed"),
    ({"h": "FROM"}, "pass", ""),
    ({"h": "from :\r\n\tto : subject"}, "pass", ""),
    ({"h": "from:from:from:x-none"}, "pass", ""),
    ({"h": "from::to"}, "pass", ""),
    ({"h": "from:to:subject:"}, "pass", ""),
    ({"h": ":from : to : "}, "pass", ""),
    ({"h": "from:to subject"}, "pass", ""),
    ({"h": "from to:subject"}, "permerror", "From is not signed"),
    ({"h": "from,to,subject"}, "permerror", "From is not signed"),
    ({"h": "from:" + ":".join(["x"] * 199)}, "pass", ""),
    ({"h": "from:" + ":".join(["x"] * 200)}, "permerror", "more than 200 names"),
    # i=
    ({"i": "@example.org"}, "pass", ""),
    ({"i": "ann@Example.ORG"}, "pass", ""),
    ({"i": "@a.b.example.org"}, "pass", ""),
    ({"i": "a=40b=3Bc@example.org"}, "pass", ""),
    ({"i": "a=\r\n\t40b@example.org"}, "pass", ""),
    ({"i": "bounce+x=y.example@example.org"}, "pass", ""),
    ({"i": "a=zz@example.org"}, "pass", ""),
    ({"i": "a=@example.org"}, "pass", ""),
    ({"i": "=FF@example.org"}, "pass", ""),
    ({"i": "a=4"}, "permerror", "no @"),
    ({"i": "a=40example.org"}, "pass", ""),
    ({"i": "bounce+x=y.example@other.example"}, "permerror", "domain of i="),
    ({"i": "example.org"}, "permerror", "no @"),
    ({"i": "@other.example"}, "permerror", "domain of i="),
    ({"i": "@notexample.org"}, "permerror", "domain of i="),
    ({"i": "@org"}, "permerror", "domain of i="),
    # l= (RFC 6376 §8.2): what is not covered may be anybody's
    ({"l": "20"}, "pass", ""),
    ({"l": "19"}, "policy", "only part of the body"),
    ({"l": "0"}, "policy", "only part of the body"),
    ({"l": "21"}, "permerror", "larger than the body"),
    ({"l": "9" * 76}, "permerror", "larger than the body"),
    ({"l": "9" * 77}, "permerror", "l= is no number"),
    ({"l": "-1"}, "permerror", "l= is no number"),
    ({"l": ""}, "permerror", "l= is no number"),
    # q=
    ({"q": "dns/txt"}, "pass", ""),
    ({"q": "foo : dns/txt"}, "pass", ""),
    ({"q": "foo"}, "neutral", "unknown way"),
    ({"q": "dns"}, "neutral", "unknown way"),
    # t=, x=
    ({"t": f"{NOW}"}, "pass", ""),
    ({"t": f"{NOW + 50400}"}, "pass", ""),
    ({"t": f"{NOW + 50401}"}, "permerror", "from the future"),
    ({"t": "soon"}, "permerror", "t= is no number"),
    ({"t": "1" * 13}, "permerror", "from the future"),
    ({"t": "1" * 77}, "permerror", "t= is no number"),
    ({"x": "9" * 13}, "pass", ""),
    ({"x": f"{NOW + 1}"}, "pass", ""),
    ({"x": f"{NOW - 300}"}, "pass", ""),
    ({"x": f"{NOW - 301}"}, "permerror", "expired"),
    ({"x": "0"}, "permerror", "expired"),
    ({"x": "never"}, "permerror", "x= is no number"),
    ({"t": f"{NOW}", "x": f"{NOW}"}, "permerror", "x= is not after t="),
    ({"t": f"{NOW}", "x": f"{NOW + 1}"}, "pass", ""),
    ({"z": "From:ann@example.org|To:bob"}, "pass", ""),
]


@pytest.mark.parametrize(("tags", "result", "reason"), SIGNATURES, ids=[str(case[0])[:60] for case in SIGNATURES])
def test_a_signature_may_say(tags, result, reason):
    (outcome,) = check(craft(RSA, **tags) + HEADER + BODY, ZONE)
    assert (outcome.result, reason in outcome.reason) == (result, True), outcome.reason
    assert bool(outcome.reason) is (result != "pass")


@pytest.mark.parametrize("selector", ["20230601", "1024", "0", "2026.11", "a.1"])
def test_a_selector_may_be_a_number(selector):
    """§3.1: Google's selectors are dates."""
    key = TestKey("example.org", selector, RSA.private)
    (outcome,) = check(craft(key) + HEADER + BODY, zone_of(key))
    assert (outcome.result, outcome.selector) == ("pass", selector)


P = base64.b64encode(RSA.public_octets).decode()
E = base64.b64encode(ED25519.public_octets).decode()


def rsa_record(bits: int, exponent: bytes = b"\x01\x00\x01") -> str:
    """A record of a number of so many bits: no key, but it has to be measured like one."""
    numbers = der(2, b"\0" + b"\xff" * (bits // 8)) + der(2, exponent)
    return "p=" + base64.b64encode(der(0x30, numbers)).decode()


def der(tag: int, content: bytes) -> bytes:
    length = len(content).to_bytes(4, "big").lstrip(b"\0") or b"\0"
    return bytes([tag]) + (length if len(content) < 128 else bytes([0x80 | len(length)]) + length) + content


PKCS1 = base64.b64encode(RSA.public_octets[24:]).decode()  # the RSAPublicKey inside
# A key record, or several, or an answer; the result and words of the reason.
KEYS = [
    # §3.6.1
    (f"v=DKIM1; k=rsa; p={P}", "pass", ""),
    (f"p={P}", "pass", ""),
    (f"v=DKIM1;p={P};", "pass", ""),
    (f" v = DKIM1 ; p = {P[:40]} {P[40:]} ; ", "pass", ""),
    (f"v=DKIM1; p={P.rstrip('=')}", "pass", ""),
    (f"v=DKIM1; n=any notes; x=unknown; p={P}", "pass", ""),
    (f"v=DKIM1; p={PKCS1}", "pass", ""),
    (f"v=DKIM2; p={P}", "permerror", "no known version"),
    (f"v=dkim1; p={P}", "permerror", "no known version"),
    (f"p={P}; v=DKIM1", "pass", ""),
    (f"p={P}; v=DKIM2", "permerror", "no known version"),
    (f"v=DKIM1; x-y=1; p={P}", "pass", ""),
    (f"s._domainkey.example.test v=DKIM1; k=rsa; p={P}", "permerror", "no name=value"),
    (f"v=DKIM1; k=rsa; p={P}; TTL 3600", "permerror", "no name=value"),
    (f"v=DKIM1; k=rsa; p={P}; p=AAAA", "permerror", "twice"),
    (f"v=DKIM1; p={P}; p={P}", "permerror", "twice"),
    (f"v=DKIM1; p={P[:-5]}", "permerror", "no RSA key"),
    (f"v=DKIM1, p={P}", "permerror", "no known version"),
    ("v=DKIM1", "permerror", "no p="),
    ("v=DKIM1; p=", "permerror", "revoked"),
    ("v=DKIM1; p=*", "permerror", "no base64"),
    ("v=DKIM1; p=AAAA", "permerror", "no RSA key"),
    ("", "permerror", "malformed"),
    ("v=DKIM1 p", "permerror", "no known version"),
    (f"v=DKIM1; p={P}; n={'x' * 8000}", "permerror", "larger than 8 KB"),
    # h=
    (f"v=DKIM1; h=sha256; p={P}", "pass", ""),
    (f"v=DKIM1; h=sha1 : sha256; p={P}", "pass", ""),
    (f"v=DKIM1; h=SHA256; p={P}", "pass", ""),
    (f"v=DKIM1; h=rsa-sha256; k=rsa; p={P}", "pass", ""),
    (f"v=DKIM1; h=sha1; p={P}", "permerror", "not for SHA-256"),
    (f"v=DKIM1; h=rsa-sha1; p={P}", "permerror", "not for SHA-256"),
    (f"v=DKIM1; h=ed25519-sha256; p={P}", "permerror", "not for SHA-256"),
    # k=
    (f"v=DKIM1; k=ed25519; p={P}", "permerror", "no rsa key"),
    (f"v=DKIM1; k=dsa; p={P}", "permerror", "no rsa key"),
    # s=
    (f"v=DKIM1; s=email; p={P}", "pass", ""),
    (f"v=DKIM1; s=*; p={P}", "pass", ""),
    (f"v=DKIM1; s=email:web; p={P}", "pass", ""),
    (f"v=DKIM1; s=web; p={P}", "permerror", "not for mail"),
    (f"v=DKIM1; s=tlsrpt; p={P}", "permerror", "not for mail"),
    # t=
    (f"v=DKIM1; t=y; p={P}", "pass", ""),
    (f"v=DKIM1; t=s; p={P}", "pass", ""),
    (f"v=DKIM1; t=y : s; p={P}", "pass", ""),
    (f"v=DKIM1; t=unknown; p={P}", "pass", ""),
    # sizes (RFC 8301 §3.2)
    (f"v=DKIM1; {rsa_record(512)}", "policy", "512 bits, fewer than 1024"),
    (f"v=DKIM1; {rsa_record(1016)}", "policy", "1016 bits, fewer than 1024"),
    (f"v=DKIM1; {rsa_record(1024)}", "fail", "does not match"),
    (f"v=DKIM1; {rsa_record(4096)}", "fail", "does not match"),
    (f"v=DKIM1; {rsa_record(4104)}", "policy", "4104 bits, more than 4096"),
    (f"v=DKIM1; {rsa_record(2048, bytes([1, 0, 0]))}", "policy", "exponent"),
    (f"v=DKIM1; {rsa_record(2048, bytes([1, 255, 255, 255, 255]))}", "fail", "does not match"),
    (f"v=DKIM1; {rsa_record(2048, bytes([2, 0, 0, 0, 1]))}", "policy", "exponent"),
    (f"v=DKIM1; {rsa_record(2048, bytes([1]))}", "permerror", "can't be used"),
    (f"v=DKIM1; {rsa_record(2048, bytes(3))}", "permerror", "no RSA key"),
    # several records (§3.6.2.2, §6.1.2), and none
    (["v=spf1 -all", f"v=DKIM1; p={P}"], "pass", ""),
    ([f"v=DKIM1; p={rsa_record(2048)[2:]}", f"v=DKIM1; p={P}"], "pass", ""),
    (["v=DKIM1; p=", f"v=DKIM1; p={P}"], "pass", ""),
    (["nonsense", "more"], "permerror", "malformed"),
    (["v=spf1 -all"], "permerror", "no key at"),
    (["x", "x", "x", f"v=DKIM1; p={P}"], "permerror", "malformed"),
    (Answer(Status.NXDOMAIN), "permerror", "no key at r1._domainkey.example.org"),
    (Answer(Status.NODATA), "permerror", "no key at"),
    (Answer(Status.TEMPERROR), "temperror", "DNS gives no answer"),
]


@pytest.mark.parametrize(("record", "result", "reason"), KEYS, ids=[str(case[0])[:60] for case in KEYS])
def test_a_key_may_say(record, result, reason):
    (outcome,) = check(craft(RSA) + HEADER + BODY, resolver(RSA, record))
    assert (outcome.result, reason in outcome.reason) == (result, True), outcome.reason


def resolver(key, record) -> ZoneResolver:
    if isinstance(record, str):
        record = [record]
    answer = record if isinstance(record, Answer) else [one.encode() for one in record]
    return ZoneResolver({(key.name, "TXT"): answer})


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        (f"v=DKIM1; k=ed25519; p={E}", "pass", ""),
        (f"v=DKIM1; k=rsa; p={E}", "permerror", "no ed25519 key"),
        (f"v=DKIM1; p={E}", "permerror", "no ed25519 key"),
        (f"v=DKIM1; k=ed25519; p={P}", "permerror", "octets instead of 32"),
        ("v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(31)).decode(), "permerror", "31 octets instead of 32"),
        ("v=DKIM1; k=ed25519; p=" + base64.b64encode(b"\x01" * 32).decode(), "fail", "does not match"),
        ("v=DKIM1; k=ed25519; p=" + base64.b64encode(b"\xff" * 32).decode(), "fail", "does not match"),
    ],
)
def test_an_ed25519_key_may_say(record, result, reason):
    (outcome,) = check(craft(ED25519) + HEADER + BODY, resolver(ED25519, record))
    assert (outcome.result, reason in outcome.reason) == (result, True), outcome.reason


@pytest.mark.parametrize("signature", [b"", bytes(1), bytes(63), bytes(64), bytes(65), b"\xff" * 64])
def test_an_ed25519_signature_of_any_length_is_none(signature):
    value = base64.b64encode(signature).decode()
    (outcome,) = check(craft(ED25519, b=value) + HEADER + BODY, ZONE)
    assert outcome.result == ("fail" if signature else "permerror")


@pytest.mark.parametrize(("key", "other"), [(RSA, ED25519), (ED25519, RSA)])
def test_the_key_is_of_the_signatures_kind(key, other):
    (outcome,) = check(craft(key, s=other.selector) + HEADER + BODY, ZONE)
    assert (outcome.result, outcome.reason) == ("permerror", f"the key is no {key.algorithm} key")


@pytest.mark.parametrize(
    ("flags", "identity", "result"),
    [("s", "@example.org", "pass"), ("s", "@a.example.org", "permerror"), ("y", "@a.example.org", "pass")],
)
def test_a_strict_key_is_for_its_very_domain(flags, identity, result):
    (outcome,) = check(craft(RSA, i=identity) + HEADER + BODY, resolver(RSA, f"v=DKIM1; t={flags}; p={P}"))
    assert outcome.result == result
    assert outcome.is_testing is (flags == "y")


def test_an_outcome_says_whose_it_is():
    (outcome,) = check(craft(RSA, i="a=40b@sub.example.org") + HEADER + BODY, ZONE)
    assert (outcome.domain, outcome.selector, outcome.identity) == ("example.org", "r1", "a@b@sub.example.org")
    assert (outcome.algorithm, outcome.key_bits, len(outcome.b_start)) == ("rsa-sha256", 2048, 8)
    assert outcome.signed_names == ("from", "to", "subject", "date")
    (refused,) = check(craft(RSA, a="rsa-sha1") + HEADER + BODY, ZONE)
    assert (refused.domain, refused.selector, refused.algorithm) == ("example.org", "r1", "rsa-sha1")


def test_a_u_label_is_its_a_label():
    key = TestKey("xn--bcher-kva.example", "xn--schlssel-95a", RSA.private)
    (outcome,) = check(craft(key, d="bücher.example", s="schlüssel", i="@bücher.example") + HEADER + BODY, zone_of(key))
    assert (outcome.result, outcome.domain, outcome.selector) == ("pass", key.domain, key.selector)
    (outcome,) = check(craft(key) + HEADER + BODY, zone_of(key))
    assert outcome.result == "pass"


# Header blocks as they are signed, and as they arrive: whether that is still the same (§5.4.2, §3.4).
HEADERS = [
    ("relaxed", "from:subject", b"From: a\r\nSubject: x\r\n", b"From: a\r\nSubject: x\r\n", True),
    ("relaxed", "from:subject", b"From: a\r\nSubject: x\r\n", b"FROM \t:  a \r\nsubject:\r\n\tx\r\n", True),
    ("simple", "from:subject", b"From: a\r\nSubject: x\r\n", b"From: a\r\nsubject: x\r\n", False),
    ("simple", "from:subject", b"From: a\r\nSubject: x\r\n", b"From: a\r\nSubject:  x\r\n", False),
    ("simple", "from:subject", b"From: a\r\nSubject : x\r\n", b"From: a\r\nSubject : x\r\n", True),
    ("relaxed", "from:subject", b"From: a\r\nSubject : x\r\n", b"From: a\r\nSubject : x\r\n", True),
    ("relaxed", "from:subject", b"From: a\r\nSubject: x y\r\n", b"From: a\r\nSubject: xy\r\n", False),
    ("relaxed", "from:subject", b"From: a\r\nSubject: x\r\n", b"From: a\r\n", False),
    # what stands on top of a signed field is another's
    ("relaxed", "from:subject", b"From: a\r\nSubject: x\r\n", b"Subject: y\r\nFrom: a\r\nSubject: x\r\n", True),
    ("relaxed", "from:subject", b"From: a\r\nSubject: x\r\n", b"From: a\r\nSubject: x\r\nSubject: y\r\n", False),
    ("relaxed", "from:x:x", b"From: a\r\nX: 1\r\nX: 2\r\n", b"From: a\r\nX: 2\r\nX: 1\r\n", False),
    ("relaxed", "from:x:x", b"From: a\r\nX: 1\r\nX: 2\r\n", b"X: 0\r\nX: 1\r\nFrom: a\r\nX: 2\r\n", True),
    # signed once more than there, nobody can add another
    (
        "relaxed",
        "from:subject:subject",
        b"From: a\r\nSubject: x\r\n",
        b"Subject: y\r\nFrom: a\r\nSubject: x\r\n",
        False,
    ),
    ("relaxed", "from:from", b"From: a\r\n", b"From: b\r\nFrom: a\r\n", False),
    ("relaxed", "from:reply-to", b"From: a\r\n", b"Reply-To: b\r\nFrom: a\r\n", False),
    # what is not signed may change
    ("relaxed", "from", b"From: a\r\nSubject: x\r\n", b"Received: z\r\nFrom: a\r\nSubject: y\r\n", True),
    # odd lines
    ("relaxed", "from", b"From: a\r\n", b"From: a\r\nno field at all\r\n", True),
    ("relaxed", "from", b"From: a\r\n", b">From x\r\nFrom: a\r\n", True),
    ("relaxed", "from", b"From: a\r\n", b":\r\nFrom: a\r\n", True),
    ("relaxed", "from:x", b"From: a\r\nX:\r\n", b"From: a\r\nX: \t \r\n", True),
    # other signatures may be signed, this one is not among them
    ("relaxed", "from:dkim-signature", b"From: a\r\n", b"From: a\r\n", True),
]


@pytest.mark.parametrize(("canon", "names", "before", "after", "same"), HEADERS)
def test_signed_fields_are_chosen_from_the_bottom(canon, names, before, after, same):
    field = craft(RSA, before + b"\r\n", c=canon, h=names)
    (outcome,) = check(field + after + b"\r\n" + BODY, ZONE)
    assert outcome.result == ("pass" if same else "fail")


def test_a_mail_that_begins_with_a_space_is_checked():
    (outcome,) = check(b" leading\r\n" + craft(RSA) + HEADER + BODY, ZONE)
    assert outcome.result == "pass"


BODY_CHANGES = [
    ("relaxed", b"Hello there\r\n\r\nbye\r\n", True),
    ("relaxed", b"Hello\t there  \r\n\r\nbye\r\n\r\n\r\n\r\n", True),
    ("relaxed", b"Hello there\r\n\r\nbye\r\n \t\r\n", True),
    ("relaxed", b"Hello there\r\nbye\r\n", False),
    ("relaxed", b"Hellothere\r\n\r\nbye\r\n", False),
    ("relaxed", b" Hello there\r\n\r\nbye\r\n", False),
    ("simple", b"Hello  there \r\n\r\nbye\r\n", True),
    ("simple", b"Hello  there \r\n\r\nbye\r\n\r\n\r\n\r\n", True),
    ("simple", b"Hello  there\r\n\r\nbye\r\n", False),
    ("simple", b"Hello  there \r\n\r\nbye\r\n \r\n", False),
]


@pytest.mark.parametrize(("canon", "body", "same"), BODY_CHANGES)
def test_a_body_may_change_only_as_its_canonicalization_allows(canon, body, same):
    (outcome,) = check(craft(RSA, c=f"relaxed/{canon}") + HEADER + body, ZONE)
    assert outcome.result == ("pass" if same else "fail")


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("canon", ["simple/simple", "relaxed/relaxed"])
def test_no_letter_can_be_changed(key, canon):
    """Every octet that is neither white space nor case nor in the words of the signature that say nothing."""
    message = craft(key, c=canon, t=f"{NOW}", i="@example.org") + HEADER + BODY
    assert check(message, ZONE)[0].result == "pass"
    passing = []
    for place, octet in enumerate(message):
        if octet not in b" \t\r\n":
            for change in (octet ^ 0x01, octet ^ 0x80):
                forged = message[:place] + bytes([change]) + message[place + 1 :]
                if any(outcome.result == "pass" for outcome in check(forged, ZONE)):
                    passing.append((place, message[place - 10 : place + 1]))
    assert passing == []


def test_the_authors_signatures_come_first():
    domains = ["a.test", "sub.example.org", "other.org", "example.org", "org", "b.test", "c.example.org"]
    block = b"".join(craft(RSA, d=domain) for domain in domains) + b"DKIM-Signature: nonsense\r\n" + HEADER
    found = [signature.domain for signature in find_signatures(HeaderFields(Header.parse(block)), "Example.org")]
    assert found == ["example.org", "sub.example.org", "org", "c.example.org", "a.test", "other.org", "b.test", ""]
    assert [signature.domain for signature in find_signatures(HeaderFields(Header.parse(block)))] == [*domains, ""]


def test_key_names_are_asked_for_once_and_only_if_they_matter():
    block = craft(RSA) + craft(RSA) + craft(ED25519) + craft(RSA, s="old", a="rsa-sha1") + HEADER
    assert key_names(find_signatures(HeaderFields(Header.parse(block)))) == (RSA.name, ED25519.name)


def test_a_message_without_signatures_has_no_outcome():
    assert check(HEADER + BODY, ZONE) == ()
