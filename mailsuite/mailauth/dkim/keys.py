"""Public keys in DNS (RFC 6376 §3.6, RFC 8301 §3.2, RFC 8463 §4): fetched, read, and used.

A key is measured before anything is computed with it: whoever publishes one chooses how long that would take. Only
numbers whose sizes are within the limits reach OpenSSL.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from mailsuite.mailauth.dkim.tags import TagError, Tags, base64_value, colon_list, parse_tags
from mailsuite.resolver.answers import Resolver, Status

MAX_RECORD_OCTETS = 8192
MAX_RECORDS = 3  # of several at one name are tried (RFC 6376 §6.1.2)
MIN_RSA_BITS = 1024
MAX_RSA_BITS = 4096
MAX_EXPONENT_BITS = 33
ED25519_OCTETS = 32
KEPT_KEYS = 256

# SubjectPublicKeyInfo's algorithm: rsaEncryption with NULL parameters, or without (RFC 8017 §A.1)
_RSA_ALGORITHMS = (bytes.fromhex("06092a864886f70d0101010500"), bytes.fromhex("06092a864886f70d010101"))
_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30


class KeyProblem(Exception):
    """Why there is no key to verify with: `result` is RFC 8601's word for it."""

    def __init__(self, result: str, reason: str, bits: int = 0) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.bits = bits


@dataclass(frozen=True, slots=True)
class Key:
    """`is_testing` is t=y; `is_exact` is t=s: i= must have the very domain of d=. `bits` of an Ed25519 key are 256."""

    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    is_testing: bool = False
    is_exact: bool = False

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether the signature is this key's over the SHA-256 digest."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, PKCS1v15(), Prehashed(SHA256()))
            else:
                self.public.verify(signature, digest)  # RFC 8463 §3: the digest is what Ed25519 signs
        except (InvalidSignature, ValueError):
            return False
        return True


async def fetch_records(resolver: Resolver, name: str) -> tuple[bytes, ...]:
    """Return the key records at `name`, which is `selector._domainkey.domain`. Raises KeyProblem."""
    answer = await resolver.query(name, "TXT")
    if answer.status is Status.TEMPERROR:
        raise KeyProblem("temperror", f"DNS gives no answer about the key {name}")
    texts = [value.encode() if isinstance(value, str) else value for value in answer.rdata]
    records = [text for text in texts if isinstance(text, bytes) and not _is_other(text)]
    if not records:
        raise KeyProblem("permerror", f"there is no key at {name}")
    return tuple(records[:MAX_RECORDS])


@lru_cache(maxsize=KEPT_KEYS)
def read_key(record: bytes, algorithm: str) -> Key:
    """Return the key of one record for signatures of `algorithm` (rsa or ed25519), which is kept: most mail comes from
    few senders. Raises KeyProblem."""
    if len(record) > MAX_RECORD_OCTETS:
        raise KeyProblem("permerror", f"the key record is larger than {MAX_RECORD_OCTETS // 1024} KB")
    try:
        tags = parse_tags(record)
        _check(tags, algorithm)
        octets = base64_value(tags["p"].value, "p")
    except TagError as error:
        raise KeyProblem("permerror", f"the key record is malformed: {error}") from None
    flags = colon_list(tags["t"].value) if "t" in tags else []
    public, bits = _rsa(octets) if algorithm == "rsa" else _ed25519(octets)
    return Key(public, bits, is_testing=b"y" in flags, is_exact=b"s" in flags)


def _is_other(record: bytes) -> bool:
    """Whether a record is plainly none of DKIM's, such as the SPF record of a wildcard."""
    return record.startswith((b"v=spf1", b"v=DMARC1"))


def _check(tags: Tags, algorithm: str) -> None:
    """What the record says of the key's use. Raises KeyProblem."""
    if "v" in tags and tags["v"].value != b"DKIM1":
        raise KeyProblem("permerror", "the key record is of no known version")
    if "p" not in tags:
        raise KeyProblem("permerror", "the key record has no p=")
    if not tags["p"].value:
        raise KeyProblem("permerror", "the key has been revoked")
    if (tags["k"].value if "k" in tags else b"rsa") != algorithm.encode():
        raise KeyProblem("permerror", f"the key is no {algorithm} key")
    if "h" in tags and not {b"sha256", f"{algorithm}-sha256".encode()} & set(colon_list(tags["h"].value.lower())):
        raise KeyProblem("permerror", "the key is not for SHA-256")
    if "s" in tags and not {b"*", b"email"} & set(colon_list(tags["s"].value)):
        raise KeyProblem("permerror", "the key is not for mail")


def _ed25519(octets: bytes) -> tuple[Ed25519PublicKey, int]:
    if len(octets) != ED25519_OCTETS:
        raise KeyProblem("permerror", f"the Ed25519 key has {len(octets)} octets instead of {ED25519_OCTETS}")
    try:
        return Ed25519PublicKey.from_public_bytes(octets), 256
    except ValueError:
        raise KeyProblem("permerror", "the key can't be used") from None


def _rsa(octets: bytes) -> tuple[RSAPublicKey, int]:
    try:
        modulus, exponent = _rsa_numbers(octets)
    except ValueError:
        raise KeyProblem("permerror", "the key is no RSA key") from None
    bits = _bits(modulus)
    if bits < MIN_RSA_BITS:
        raise KeyProblem("policy", f"the key has {bits} bits, fewer than {MIN_RSA_BITS}", bits)
    if bits > MAX_RSA_BITS:
        raise KeyProblem("policy", f"the key has {bits} bits, more than {MAX_RSA_BITS}", bits)
    if _bits(exponent) > MAX_EXPONENT_BITS or not exponent[-1] & 1:
        raise KeyProblem("policy", "the key's exponent is even or too large", bits)
    try:
        numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
        return numbers.public_key(), bits
    except ValueError:
        raise KeyProblem("permerror", "the key can't be used", bits) from None


def _rsa_numbers(octets: bytes) -> tuple[bytes, bytes]:
    """Modulus and exponent, as octets, of a SubjectPublicKeyInfo, which is what everybody publishes, or of a bare
    RSAPublicKey, which is what RFC 6376 §3.6.1 says. Raises ValueError."""
    outer = list(_elements(_only(octets, _SEQUENCE)))
    if len(outer) == 2 and outer[0][0] == _SEQUENCE and outer[0][1] in _RSA_ALGORITHMS and outer[1][0] == _BIT_STRING:
        bits = outer[1][1]
        if bits[:1] != b"\0":
            raise ValueError("unused bits")
        outer = list(_elements(_only(bits[1:], _SEQUENCE)))
    (first, modulus), (second, exponent) = outer
    modulus, exponent = modulus.lstrip(b"\0"), exponent.lstrip(b"\0")
    if first != _INTEGER or second != _INTEGER or not modulus or not exponent:
        raise ValueError("no two integers")
    return modulus, exponent


def _only(octets: bytes, tag: int) -> bytes:
    (found, content), *more = _elements(octets)
    if found != tag or more:
        raise ValueError("not the expected element")
    return content


def _elements(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The DER elements in a row: tag and content. Raises ValueError."""
    at = 0
    while at < len(octets):
        if at + 2 > len(octets):
            raise ValueError("cut off")
        tag, length, start = octets[at], octets[at + 1], at + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(octets[at + 2 : start], "big") if start - at <= 6 else len(octets)
        at = start + length
        if at > len(octets):
            raise ValueError("cut off")
        yield tag, octets[start:at]


def _bits(number: bytes) -> int:
    return 8 * (len(number) - 1) + number[0].bit_length()
