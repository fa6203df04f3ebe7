"""DKIM signing (RFC 6376, RFC 8463): c=relaxed/relaxed, no l=, one signature for each key.

Used of dkimpy is `fold`, which lays out the field, and its exceptions. The header is hashed as the verifier does it,
the body as a stream, keys are `cryptography`'s: RSA as dkimpy does it in Python takes tens of milliseconds and is not
blinded. RSA signatures are the same octets as dkimpy's.
"""

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim.header import HeaderFields

# Signed wherever they occur; those of OVERSIGNED once more than they occur, so that nobody can add another.
SIGNED = (
    *(b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"in-reply-to", b"references"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding", b"content-id", b"auto-submitted", b"feedback-id"),
)
SIGNED_PREFIXES = (b"resent-", b"list-")
OVERSIGNED = frozenset(
    (
        b"from",
        b"to",
        b"cc",
        b"reply-to",
        b"subject",
        b"date",
        b"message-id",
        b"content-type",
        b"mime-version",
        b"sender",
    )
)
# More fields of a name are not signed: others read no h= of any length.
MAX_OF_A_NAME = 20
ALGORITHMS = {"rsa": b"rsa-sha256", "ed25519": b"ed25519-sha256"}

Tag = tuple[bytes, bytes]


class SigningError(Exception):
    """The message can't be signed with this key; it must not go out without."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a domain: `private_key` is PKCS#8 PEM, `algorithm` rsa or ed25519."""

    domain: str
    selector: str
    algorithm: str
    private_key: str = field(repr=False)


def signature_fields(message_header: Header, body_hash: bytes, keys: Sequence[SigningKey], timestamp: int) -> bytes:
    """Return a DKIM-Signature field for each key in their order, to be put in front of the header.

    `body_hash` is RelaxedBodyHash's. Raises SigningError.
    """
    try:
        header = HeaderFields(message_header, limited=False)
        return b"".join(_signature_field(header, key, body_hash, timestamp) for key in keys)
    except (dkim.DKIMException, ValueError, TypeError) as error:
        raise SigningError(str(error)) from error


def signed_names(names_present: Iterable[bytes]) -> list[bytes]:
    """Return the names for h= of a header that has fields of these lower-case names, each as often as it is to be
    signed (RFC 6376 §5.4.2)."""
    present = Counter(names_present)
    prefixed = sorted(name for name in present if name.startswith(SIGNED_PREFIXES))
    names: list[bytes] = []
    for name in (*SIGNED, *prefixed):
        names += [name] * (min(present[name], MAX_OF_A_NAME) + (name in OVERSIGNED))
    return names


def signed_field(name: bytes, tags: Sequence[Tag], key: SigningKey, digest_of: Callable[[bytes], bytes]) -> bytes:
    """Return the field with these tags and b=, folded, CRLF at its end. `digest_of` gets the field with an empty b=
    and returns the SHA-256 to sign. Raises SigningError and ValueError."""
    # Long enough to stand on a line of its own, so that folding again moves nothing before it.
    unsigned = name + b": " + _folded(name, [*tags, (b"b", b"0" * 60)])
    digest = digest_of(unsigned[: unsigned.rindex(b"b=") + 2])
    value = base64.b64encode(sign_digest(key, digest))
    return name + b": " + _folded(name, [*tags, (b"b", value)], b"\r\n")


def _signature_field(header: HeaderFields, key: SigningKey, body_hash: bytes, timestamp: int) -> bytes:
    names = signed_names(header.names)
    if names.count(b"from") < 2:
        raise SigningError("the message has no From to sign")
    domain = key.domain.encode("ascii")
    tags = [
        (b"v", b"1"),
        (b"a", ALGORITHMS[key.algorithm]),
        (b"c", b"relaxed/relaxed"),
        (b"d", domain),
        (b"i", b"@" + domain),
        (b"q", b"dns/txt"),
        (b"s", key.selector.encode("ascii")),
        (b"t", b"%d" % timestamp),
        (b"h", b" : ".join(names)),
        (b"bh", body_hash),
    ]
    return signed_field(
        b"DKIM-Signature", tags, key, lambda unsigned: header.signed_hash(names, "relaxed", -1, unsigned)
    )


def _folded(name: bytes, tags: Sequence[Tag], line_end: bytes = b"") -> bytes:
    folded: bytes = dkim.fold(b"; ".join(b"=".join(tag) for tag in tags) + line_end, namelen=len(name))
    return folded


def sign_digest(key: SigningKey, digest: bytes) -> bytes:
    """Return the key's signature over a SHA-256. Raises SigningError and ValueError."""
    private_key = _load(key.private_key)
    if isinstance(private_key, RSAPrivateKey) and key.algorithm == "rsa":
        return private_key.sign(digest, PKCS1v15(), Prehashed(SHA256()))
    if isinstance(private_key, Ed25519PrivateKey) and key.algorithm == "ed25519":
        return private_key.sign(digest)  # RFC 8463 §3: the hash is what Ed25519 signs
    raise SigningError(f"the key {key.selector} is no {key.algorithm} key")


@lru_cache(maxsize=1024)
def _load(pem: str) -> object:
    # Our own keys, validated when they were made: doing so again takes longer than signing.
    return load_pem_private_key(pem.encode("ascii"), None, unsafe_skip_rsa_key_validation=True)
