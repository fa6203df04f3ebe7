import base64
import hashlib
import random
import re

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dkim.canonicalization import Relaxed

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import MAX_OF_A_NAME, SigningError, SigningKey, signature_fields, signed_names

HEADER = (
    b"Received: from a by b;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"From: Ann  <ann@example.org>\r\nTo: bob@other.example\r\nSubject:  folded\r\n\tsubject \r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b"List-Unsubscribe: <https://example.org/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"X-Other: not signed\r\n\r\n"
)
BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b" \r\n",
    b" ",
    b"a",
    b"a\r\n",
    b"a\r\n\r\n\r\n",
    b"a \t b\t\r\n \r\nc  \r\n\t\r\n",
    b" leading\r\n",
    b"\r\n\r\nx\r\n",
    b"a\r\n ",
    b"a\r\n \r\n b",
    b"\tx\ty\r\n" * 50,
]


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def ed25519_key():
    return ed25519.Ed25519PrivateKey.generate()


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def body_hash(body: bytes, size: int = 1 << 20) -> bytes:
    hashed = RelaxedBodyHash()
    for start in range(0, len(body), size):
        hashed.update(body[start : start + size])
    return hashed.digest()


def record(kind: str, key) -> bytes:
    if kind == "rsa":
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=%s; p=%s" % (kind.encode(), base64.b64encode(public))


@pytest.mark.parametrize("body", BODIES)
def test_body_hash_is_dkimpys_wherever_it_is_cut(body):
    expected = base64.b64encode(hashlib.sha256(Relaxed.canonicalize_body(body)).digest())
    for size in range(1, len(body) + 2):
        assert body_hash(body, size) == expected


def test_body_hash_is_dkimpys_for_random_bodies():
    chance = random.Random(6376)
    for _ in range(2000):
        body = b"".join(chance.choice([b" ", b"\t", b"\r\n", b"a", b"."]) for _ in range(chance.randrange(12)))
        expected = base64.b64encode(hashlib.sha256(Relaxed.canonicalize_body(body)).digest())
        assert body_hash(body, chance.randrange(1, 5)) == expected, body


def test_rsa_signature_is_the_same_octets_as_dkimpys(rsa_key, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    body = b"Hello  there \r\n\r\n"
    ours = signature_fields(
        Header.parse(HEADER), body_hash(body), [SigningKey("example.org", "r1", "rsa", pem(rsa_key))], 1_700_000_000
    )
    signer = dkim.DKIM(HEADER + body)
    theirs = signer.sign(
        b"r1",
        b"example.org",
        rsa_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=signed_names(name.lower() for name, _ in signer.headers),
    )
    assert ours == theirs


def test_both_signatures_verify(rsa_key, ed25519_key):
    keys = [
        SigningKey("example.org", "r1", "rsa", pem(rsa_key)),
        SigningKey("example.org", "e1", "ed25519", pem(ed25519_key)),
    ]
    zone = {b"r1._domainkey.example.org.": record("rsa", rsa_key)}
    zone[b"e1._domainkey.example.org."] = record("ed25519", ed25519_key)
    fields = signature_fields(Header.parse(HEADER), body_hash(b"hi\r\n"), keys, 1_700_000_000)
    message = fields + HEADER + b"hi\r\n"
    assert [re.search(rb"a=([a-z0-9-]+)", one)[1] for one in fields.split(b"DKIM-Signature: ")[1:]] == [
        b"rsa-sha256",
        b"ed25519-sha256",
    ]
    for at in range(2):
        assert dkim.DKIM(message).verify(at, dnsfunc=lambda name, timeout=5: zone.get(name))
        changed = message.replace(b"folded", b"forged")
        assert not dkim.DKIM(changed).verify(at, dnsfunc=lambda name, timeout=5: zone.get(name))
        added = message.replace(b"Subject:", b"Subject: other\r\nSubject:", 1)
        assert not dkim.DKIM(added).verify(at, dnsfunc=lambda name, timeout=5: zone.get(name))


def test_no_line_is_longer_than_78(rsa_key):
    fields = signature_fields(
        Header.parse(HEADER), body_hash(b""), [SigningKey("example.org", "r1", "rsa", pem(rsa_key))], 1
    )
    assert max(len(line) for line in fields.split(b"\r\n")) <= 78


def test_names_are_signed_as_often_as_they_occur_and_once_more():
    names = signed_names([b"from", b"subject", b"resent-to", b"resent-to", b"x"])
    assert names.count(b"from") == 2
    assert names.count(b"subject") == 2
    assert names.count(b"to") == 1
    assert names.count(b"resent-to") == 2
    assert b"x" not in names
    assert b"references" not in names


def test_unusable_keys_and_messages_are_errors(rsa_key, ed25519_key):
    for algorithm, key in (("rsa", pem(ed25519_key)), ("ed25519", pem(rsa_key)), ("rsa", "no key")):
        with pytest.raises(SigningError):
            signature_fields(Header.parse(HEADER), b"x", [SigningKey("example.org", "s", algorithm, key)], 1)
    with pytest.raises(SigningError):
        signature_fields(Header.parse(b"To: x\r\n\r\n"), b"x", [SigningKey("example.org", "s", "rsa", pem(rsa_key))], 1)


def test_no_name_is_signed_without_end():
    """Verifiers bound h=; a program that writes a To field for each reader has its mail signed all the same."""
    names = signed_names([b"from"] + [b"to"] * 900 + [b"list-x"] * 900)
    assert names.count(b"from") == 2 and names.count(b"to") == MAX_OF_A_NAME + 1
    assert names.count(b"list-x") == MAX_OF_A_NAME
