"""DKIM with others: what we sign they verify, what they sign we verify."""

import asyncio
import time

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from oracles import TestKey, dkimpy_verifies, mailauth, opendkim_signer, opendkim_verifies, resolver_of, zone_of

from mailsuite.mail.header import header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim import BodyHashes, HeaderFields, RelaxedBodyHash, find_signatures, verify
from mailsuite.mailauth.dkim.sign import signature_fields

HEADER = (
    b"Received: from a.example (a.example [192.0.2.1]) by b.example;\r\n\tMon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"From: Ann  Example <ann@example.org>\r\nTo: bob@other.example,\r\n  carl@other.example\r\n"
    b"Subject:  a \t folded\r\n\tsubject \r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nList-Unsubscribe: <https://example.org/u>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-Empty:\r\n\r\n"
)
BODIES = {
    "none": b"",
    "only empty lines": b"\r\n\r\n",
    "text": b"Hello  there, \r\n\r\n  and\tbye \t\r\n",
    "empty lines at the end": b"Hello\r\n\r\n\r\n\r\n",
    "white space lines at the end": b"Hello\r\n \t\r\n\t\r\n",
    "long": b"".join(b"line %d  of\tmany \r\n" % number for number in range(9000)),
    "eight bits": "Grüße  aus Köln\r\n".encode(),
}
CANONS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]


@pytest.fixture(scope="module")
def rsa_key():
    return TestKey("example.org", "r1", rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="module")
def ed25519_key():
    return TestKey("example.org", "e1", ed25519.Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def zone(rsa_key, ed25519_key):
    return zone_of(rsa_key, ed25519_key)


def outcomes(message: bytes, zone, size: int = 4000):
    end = header_end(message, 0, len(message))
    header, body = HeaderFields(Header.parse(message[:end])), message[end:]
    signatures = find_signatures(header, "example.org")
    hashes = BodyHashes(signatures)
    for start in range(0, len(body), size):
        hashes.update(body[start : start + size])
    return asyncio.run(verify(signatures, header, hashes, resolver_of(zone), time.time()))


def results(message: bytes, zone) -> list[str]:
    return [f"{one.algorithm} {one.result} {one.reason}".strip() for one in outcomes(message, zone)]


def signed(body: bytes, *keys: TestKey) -> bytes:
    hashed = RelaxedBodyHash()
    hashed.update(body)
    fields = signature_fields(
        Header.parse(HEADER), hashed.digest(), [key.signing_key for key in keys], int(time.time())
    )
    return fields + HEADER + body


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_ours_is_verified_by_us_and_by_dkimpy(body, rsa_key, ed25519_key, zone):
    message = signed(body, rsa_key, ed25519_key)
    assert results(message, zone) == ["rsa-sha256 pass", "ed25519-sha256 pass"]
    assert [dkimpy_verifies(message, zone, number) for number in (0, 1)] == [True, True]


def test_ours_is_verified_by_opendkim(rsa_key, ed25519_key, zone, require_program):
    opendkim = require_program("opendkim")
    for body in BODIES.values():
        for keys in ([rsa_key], [ed25519_key], [rsa_key, ed25519_key]):
            message = signed(body, *keys)
            assert opendkim_verifies(opendkim, message, zone)
            assert not opendkim_verifies(opendkim, message.replace(b"folded", b"forged"), zone)


def test_ours_is_verified_by_mailauth(rsa_key, ed25519_key, zone):
    messages = [signed(body, rsa_key, ed25519_key) for body in BODIES.values()]
    asked = [{"do": "verify", "message": message, "zone": zone, "now": time.time()} for message in messages]
    found = [[one["result"] for one in answer["dkim"]] for answer in mailauth(asked)]
    assert found == [["pass", "pass"]] * len(messages)


@pytest.mark.parametrize("canon", CANONS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_dkimpys_is_verified_by_us(body, canon, rsa_key, ed25519_key, zone):
    message = HEADER + body
    for key, algorithm in ((rsa_key, b"rsa-sha256"), (ed25519_key, b"ed25519-sha256")):
        canonicalize = tuple(canon.encode().split(b"/"))
        field = dkim.sign(
            message,
            key.selector.encode(),
            b"example.org",
            key.for_dkimpy,
            canonicalize=canonicalize,
            signature_algorithm=algorithm,
        )
        assert results(field + message, zone) == [f"{algorithm.decode()} pass"]


@pytest.mark.parametrize("canon", CANONS)
def test_opendkims_is_verified_by_us(canon, rsa_key, ed25519_key, zone, require_program):
    opendkim = require_program("opendkim")
    for key in (rsa_key, ed25519_key):
        with opendkim_signer(opendkim, key, f"Canonicalization {canon}", "OversignHeaders From,Subject") as signer:
            for body in BODIES.values():
                message = HEADER + body
                message = signer.fields_added(message) + message
                if key is ed25519_key and canon.startswith("simple"):
                    # opendkim folds these again after signing, and doesn't verify its own either.
                    assert not opendkim_verifies(opendkim, message, zone)
                    assert outcomes(message, zone)[0].result == "fail"
                else:
                    assert results(message, zone) == [f"{key.algorithm}-sha256 pass"]


def test_mailauths_is_verified_by_us(rsa_key, ed25519_key, zone):
    messages = [HEADER + body for body in BODIES.values()] * len(CANONS)
    canons = [canon for canon in CANONS for _ in BODIES]
    asked = [
        {
            "do": "sign",
            "message": message,
            "options": {
                "canonicalization": canon,
                "signatureData": [
                    {"signingDomain": key.domain, "selector": key.selector, "privateKey": key.pem}
                    for key in (rsa_key, ed25519_key)
                ],
            },
        }
        for message, canon in zip(messages, canons, strict=True)
    ]
    for message, fields, canon in zip(messages, mailauth(asked), canons, strict=True):
        assert f"c={canon}" in fields
        found = results(fields.encode() + message, zone)
        assert sorted(found) == ["ed25519-sha256 pass", "rsa-sha256 pass"], (canon, message)
