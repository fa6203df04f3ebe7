"""What a stranger's mail can cost us: work is counted, and nothing is ever raised."""

import asyncio
import base64
import hashlib
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dkim.canonicalization import Relaxed, Simple
from dkim_craft import BODY, HEADER, NOW, check, check_signatures, craft
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import TestKey, resolver_of, zone_of

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim import BodyHashes, RelaxedBodyHash, Signature, find_signatures, verify
from mailsuite.mailauth.dkim import body as body_module
from mailsuite.mailauth.dkim import header as header_module
from mailsuite.mailauth.dkim import keys as keys_module
from mailsuite.mailauth.dkim.header import HeaderFields, canonical_field
from mailsuite.resolver.answers import Answer, Status

RSA = TestKey("example.org", "r1", rsa.generate_private_key(65537, 2048))
ED25519 = TestKey("example.org", "e1", ed25519.Ed25519PrivateKey.generate())
ZONE = zone_of(RSA, ED25519)
RELAXED, SIMPLE = Signature(0, body_canon="relaxed"), Signature(0, body_canon="simple")


class CountingPattern:
    """A pattern that counts the octets it is let loose on, and stands for one that goes over each once."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        # Two alternatives that can't both match at a place, each one greedy run: no way back, so time is linear.
        assert pattern.pattern == rb"[ \t]{2,}|\t"
        self._pattern = pattern
        self.octets = 0

    def sub(self, replacement: bytes, octets: bytes) -> bytes:
        self.octets += len(octets)
        return self._pattern.sub(replacement, octets)


def digest(body: bytes, user: Signature, size: int) -> bytes:
    hashes = BodyHashes([user])
    for start in range(0, len(body), size):
        hashes.update(body[start : start + size])
    found = hashes.digest(user)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "body",
    [
        b"x" + b" " * 40_000 + b"x\r\n",
        b" " * 40_000,
        (b"x" + b" " * 997 + b"\r\n") * 1000,
        (b" " * 997 + b"x\r\n") * 1000,
        b"\r\n" * 500_000,
        b"\r\n" * 500_000 + b"x\r\n",
        b"\t \r\n" * 250_000 + b"x",
        b"\r" * 500_000,
        b"\n" * 500_000,
        b" \r" * 250_000,
    ],
    ids=lambda body: f"{body[:3]!r} {len(body)}",
)
def test_each_octet_of_a_body_is_looked_at_once(body, monkeypatch):
    spaces = CountingPattern(body_module._SPACES)
    monkeypatch.setattr(body_module, "_SPACES", spaces)
    hashes = BodyHashes([RELAXED, SIMPLE])
    for start in range(0, len(body), 65_536):
        hashes.update(body[start : start + 65_536])
    hashes.digest(RELAXED)
    assert spaces.octets <= len(body)
    assert hashes.hashed_octets <= 2 * len(body) + 4


def test_a_body_is_hashed_once_whatever_the_signatures_want():
    lengths = [0, 1, 5, 9, 11, 12, 13, 14, 15]
    fields = [craft(RSA, c="simple/relaxed", l=str(length)) for length in lengths] + [craft(RSA)]
    signatures = find_signatures(HeaderFields(Header.parse(b"".join(fields) + HEADER)))
    outcomes, hashes = check_signatures(signatures, b"".join(fields) + HEADER, [BODY[:7], BODY[7:]], ZONE)
    assert [outcome.result for outcome in outcomes] == ["policy"] * 9 + ["pass"]
    assert hashes.hashed_octets <= len(BODY)


def test_ten_signatures_are_verified_and_no_more():
    block = b"".join(craft(RSA, s=f"s{number}", c="simple/simple") for number in range(300)) + HEADER
    resolver = resolver_of({})
    outcomes, hashes = check_signatures(find_signatures(HeaderFields(Header.parse(block))), block, [BODY], resolver)
    assert len(outcomes) == len(resolver.asked) == 10
    # Of 300 that can't be read, ten count as well, and DNS hears nothing; the author's own is still found.
    broken = b"DKIM-Signature: v=1; a=rsa-sha256\r\n" * 300
    resolver = resolver_of(ZONE)
    outcomes = check(broken + craft(RSA) + HEADER + BODY, resolver)
    assert [outcome.result for outcome in outcomes] == ["pass"] + ["permerror"] * 9
    assert resolver.asked == [(RSA.name, "TXT")]


@pytest.mark.parametrize("bits", [4104, 8192, 16_384, 40_000])
def test_no_large_key_is_computed_with(bits, monkeypatch):
    computed = []
    monkeypatch.setattr(keys_module, "RSAPublicNumbers", lambda *numbers: computed.append(numbers))
    number = b"\0" + b"\xff" * (bits // 8)
    der = b"\x02\x82" + len(number).to_bytes(2, "big") + number
    der = b"\x30\x82" + (2 * len(der)).to_bytes(2, "big") + der * 2
    with pytest.raises(keys_module.KeyProblem) as caught:
        keys_module._rsa(der)
    assert (caught.value.result, caught.value.bits, computed) == ("policy", bits, [])


def test_no_large_exponent_is_computed_with(monkeypatch):
    computed = []
    monkeypatch.setattr(keys_module, "RSAPublicNumbers", lambda *numbers: computed.append(numbers))
    number = b"\x02\x82\x01\x01\0" + b"\xff" * 256
    der = b"\x30\x82" + (2 * len(number)).to_bytes(2, "big") + number * 2
    with pytest.raises(keys_module.KeyProblem, match="exponent"):
        keys_module._rsa(der)
    assert computed == []


@pytest.mark.parametrize("octets", [b"\x30\x84\xff\xff\xff\xff", b"\x30\xff" + b"\xff" * 127, b"\x30\x80", b"0" * 9])
def test_lengths_that_lie_are_no_key(octets):
    with pytest.raises(keys_module.KeyProblem, match="no RSA key"):
        keys_module._rsa(octets)


def test_a_folded_header_is_made_canonical_once(monkeypatch):
    spaces = CountingPattern(header_module._SPACES)
    monkeypatch.setattr(header_module, "_SPACES", spaces)
    header = HEADER[:-2] + b"X: a" + b"\r\n  a" * 50_000 + b"\r\n\r\n"
    fields = b"".join(craft(RSA, header, h="from:x:to:subject", s="r1") for _ in range(10))
    spaces.octets = 0
    header_fields = HeaderFields(Header.parse(fields + header))
    for signature in find_signatures(header_fields):
        args = (signature.signed_names, "relaxed", signature.place, signature.unsigned)
        header_fields.signed_hash(*args)
    assert spaces.octets <= len(fields + header)
    assert header_fields.canonical_octets <= len(header)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (b"X: a" + b"\r\n a" * 400_000 + b"\r\n", "the header is larger than 1280 KB"),
        (b"X: a\r\n" * 5001, "the header has more than 5000 fields"),
    ],
)
def test_a_header_past_the_limits_is_not_looked_at(more, reason):
    block = craft(RSA) + more + HEADER
    resolver = resolver_of(ZONE)
    (outcome,) = check(block + BODY, resolver)
    assert (outcome.result, outcome.reason, resolver.asked) == ("permerror", reason, [])
    assert check(more + HEADER + BODY, resolver) == ()


def test_a_field_past_the_limit_is_not_read():
    (outcome,) = check(craft(RSA, n="x" * 16_384) + HEADER + BODY, ZONE)
    assert (outcome.result, outcome.reason) == ("permerror", "the field is larger than 16 KB")


class Broken:
    """A resolver with a bug in it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def query(self, name: str, rdtype: str) -> Answer:
        raise self.error


def test_whatever_goes_wrong_is_an_outcome_but_cancellation_is_raised():
    (outcome,) = check(craft(RSA) + HEADER + BODY, Broken(RuntimeError("boom")))
    assert (outcome.result, outcome.reason) == ("permerror", "it could not be checked (RuntimeError)")
    with pytest.raises(asyncio.CancelledError):
        check(craft(RSA) + HEADER + BODY, Broken(asyncio.CancelledError()))


def test_odd_values_of_a_resolver_are_no_key():
    for rdata in ((), ("text",), (b"\xff\xfe",), (object(),)):
        (outcome,) = check(craft(RSA) + HEADER + BODY, Fixed(Answer(Status.OK, rdata)))
        assert outcome.result == "permerror"


class Fixed:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def query(self, name: str, rdtype: str) -> Answer:
        return self.answer


MESSAGE = craft(RSA, c="simple/relaxed", l="5", t=f"{NOW}", i="a=40@example.org", q="dns/txt") + craft(ED25519) + HEADER
INSERTED = [b"", b"\0", b"\xff", b";", b"=", b" ", b"\r\n", b"\r", b"\n", b":", b"@", b"=3D", b"9" * 80, b"l=", b"i="]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(MESSAGE)), st.integers(0, 3), st.sampled_from(INSERTED)), min_size=1, max_size=4
    )
)
def test_no_mutation_is_raised_or_passes_unseen(changes):
    message = MESSAGE
    for place, cut, inserted in changes:
        message = message[:place] + inserted + message[place + cut :]
    for outcome in check(message + BODY, ZONE):
        assert outcome.result in ("pass", "fail", "policy", "neutral", "temperror", "permerror")
        assert "could not be checked" not in outcome.reason


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b"v=1", b"d=a.b", b"b=AA", b"h=from", b"bh=", b"a=rsa-sha256", b"x", b"=", b"i=@"])))
def test_no_soup_of_tags_is_raised(parts):
    for outcome in check(b"DKIM-Signature:" + b";".join(parts) + b"\r\n" + HEADER + BODY, ZONE):
        assert outcome.result in ("neutral", "permerror")


LINES = st.lists(st.sampled_from([b" ", b"\t", b"  ", b"a", b"a b", b"\r\n", b"\r\n\r\n", b".", b"\xe4"]), max_size=14)


@settings(max_examples=500, deadline=None)
@given(LINES)
def test_bodies_are_dkimpys_cut_at_every_octet(parts):
    body = b"".join(parts) + b"\r\n"
    expected = {"relaxed": Relaxed.canonicalize_body(body), "simple": Simple.canonicalize_body(body)}
    for user in (RELAXED, SIMPLE):
        for size in range(1, len(body) + 1):
            assert digest(body, user, size) == hashlib.sha256(expected[user.body_canon]).digest()


@settings(max_examples=300, deadline=None)
@given(LINES, st.integers(0, 30), st.integers(1, 9))
def test_every_length_is_that_of_the_canonical_body(parts, length, size):
    body = b"".join(parts) + b"\r\n"
    for canon, canonical in (("relaxed", Relaxed.canonicalize_body(body)), ("simple", Simple.canonicalize_body(body))):
        user = Signature(0, body_canon=canon, body_length=length)
        hashes = BodyHashes([user])
        for start in range(0, len(body), size):
            hashes.update(body[start : start + size])
        fits = length <= len(canonical)
        assert hashes.digest(user) == (hashlib.sha256(canonical[:length]).digest() if fits else None)
        assert hashes.octets(user) == len(canonical)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b" ", b"a", b"\r\n"]), max_size=12))
def test_a_bare_line_end_is_text_wherever_it_is_cut(parts):
    body = b"".join(parts) + b"x\r\n"
    for user, canonical in ((RELAXED, Relaxed.canonicalize_body), (SIMPLE, Simple.canonicalize_body)):
        for size in range(1, len(body) + 1):
            assert digest(body, user, size) == hashlib.sha256(canonical(body)).digest()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b" ", b"\t", b"a", b"\r\n ", b"\r\n\t", b"=", b":"]), max_size=14))
def test_fields_are_dkimpys(parts):
    value = b"".join(parts)
    for canon, policy in (("relaxed", Relaxed), ("simple", Simple)):
        ((name, expected),) = policy.canonicalize_headers([(b"Na-Me ", value + b"\r\n")])
        assert canonical_field(b"Na-Me :" + value, canon) + b"\r\n" == name + b":" + expected


def test_signing_and_verifying_hash_bodies_alike():
    hashed = RelaxedBodyHash()
    hashed.update(BODY)
    assert hashed.digest() == base64.b64encode(digest(BODY, RELAXED, 3))


def test_what_is_decided_needs_no_body():
    signatures = find_signatures(HeaderFields(Header.parse(craft(RSA, a="rsa-sha1") + HEADER)))
    hashes = BodyHashes(signatures)
    hashes.update(BODY)
    assert hashes.hashed_octets == 0
    (outcome,) = asyncio.run(verify(signatures, HeaderFields(Header.parse(b"")), hashes, resolver_of({}), NOW))
    assert outcome.result == "policy"
