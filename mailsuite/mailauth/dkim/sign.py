"""DKIM signing (RFC 6376, RFC 8463): c=relaxed/relaxed, no l=, one signature for each key.

dkimpy's header hashing and folding, with the body hashed as a stream and keys of `cryptography`: RSA as dkimpy does it
in Python takes tens of milliseconds and is not blinded. RSA signatures are the same octets as dkimpy's.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from dkim.canonicalization import CanonicalizationPolicy

from mailsuite.mail.header import split_fields

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
ALGORITHMS = {"rsa": b"rsa-sha256", "ed25519": b"ed25519-sha256"}

_POLICY = CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")


class SigningError(Exception):
    """The message can't be signed with this key; it must not go out without."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a domain: `private_key` is PKCS#8 PEM, `algorithm` rsa or ed25519."""

    domain: str
    selector: str
    algorithm: str
    private_key: str = field(repr=False)


def signature_fields(header_block: bytes, body_hash: bytes, keys: Sequence[SigningKey], timestamp: int) -> bytes:
    """Return a DKIM-Signature field for each key in their order, to be put in front of the header block.

    `body_hash` is RelaxedBodyHash's. Raises SigningError.
    """
    try:
        return b"".join(_Signer(header_block).field(key, body_hash, timestamp) for key in keys)
    except (dkim.DKIMException, ValueError, TypeError) as error:
        raise SigningError(str(error)) from error


def signed_names(headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the names for h=, each as often as it is to be signed (RFC 6376 §5.4.2)."""
    present = [name.rstrip().lower() for name, _ in headers]
    prefixed = sorted({name for name in present if name.startswith(SIGNED_PREFIXES)})
    names: list[bytes] = []
    for name in (*SIGNED, *prefixed):
        names += [name] * (present.count(name) + (name in OVERSIGNED))
    return names


class _Signer(dkim.DKIM):  # type: ignore[misc]
    """dkimpy's signer, over fields that we have split and a body that we have hashed."""

    def __init__(self, header_block: bytes) -> None:
        super().__init__()
        fields = (one.partition(b":") for one in split_fields(header_block))
        self.headers = [(name, value + b"\n") for name, colon, value in fields if colon]

    def field(self, key: SigningKey, body_hash: bytes, timestamp: int) -> bytes:
        names = signed_names(self.headers)
        if names.count(b"from") < 2:
            raise SigningError("the message has no From to sign")
        domain = key.domain.encode("ascii")
        fields = [
            (b"v", b"1"),
            (b"a", ALGORITHMS[key.algorithm]),
            (b"c", _POLICY.to_c_value()),
            (b"d", domain),
            (b"i", b"@" + domain),
            (b"q", b"dns/txt"),
            (b"s", key.selector.encode("ascii")),
            (b"t", b"%d" % timestamp),
            (b"h", b" : ".join(names)),
            (b"bh", body_hash),
            # Long enough to stand on a line of its own, so that folding again moves nothing before it.
            (b"b", b"0" * 60),
        ]
        value = dkim.fold(b"; ".join(b"=".join(pair) for pair in fields), namelen=len(b"DKIM-Signature"))
        digest = hashlib.sha256()
        header = (b"DKIM-Signature", b" " + dkim.RE_BTAG.sub(rb"\1", value))
        dkim.hash_headers(digest, _POLICY, _POLICY.canonicalize_headers(self.headers), names, header, dict(fields))
        fields[-1] = (b"b", base64.b64encode(_sign(key, digest.digest())))
        value = b"; ".join(b"=".join(pair) for pair in fields) + b"\r\n"
        signed: bytes = dkim.fold(value, namelen=len(b"DKIM-Signature"))
        return b"DKIM-Signature: " + signed


def _sign(key: SigningKey, digest: bytes) -> bytes:
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
