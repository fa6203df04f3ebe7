"""What a host's certificate says, as lines for people."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAX_NAMES = 10


def describe_chain(chain: Sequence[bytes], now: datetime) -> tuple[str, ...]:
    """Lines about a chain of DER certificates, the host's own first."""
    if not chain:
        return ("The host sent no certificate.",)
    try:
        certificate = x509.load_der_x509_certificate(chain[0])
        return (*_lines(certificate, now), f"certificates sent: {len(chain)}")
    except Exception as error:
        # Anybody's octets, and a parser that has many ways to refuse them.
        return (f"The certificate can't be read ({type(error).__name__}).",)


def _lines(certificate: x509.Certificate, now: datetime) -> list[str]:
    ends = certificate.not_valid_after_utc
    days = (ends - now).days
    when = f"for {days} more days" if days >= 0 else f"it ran out {-days} days ago"
    public = certificate.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [
        f"names: {_names(certificate)}",
        f"issuer: {_short(certificate.issuer)}" + (" (itself)" if certificate.issuer == certificate.subject else ""),
        f"valid: {certificate.not_valid_before_utc:%Y-%m-%d} to {ends:%Y-%m-%d}, {when}",
        f"key: {_key(public)}",
        f"TLSA 3 1 1 {hashlib.sha256(spki).hexdigest()}",
    ]


def _names(certificate: x509.Certificate) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = found.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    shown = ", ".join(_printable(name) for name in names[:MAX_NAMES]) or "none"
    return shown + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def _short(name: x509.Name) -> str:
    return _printable(name.rfc4514_string()[:200]) or "nobody"


def _key(public: object) -> str:
    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA, {public.key_size} bits"
    if isinstance(public, ec.EllipticCurvePublicKey):
        return f"ECDSA, {public.curve.name}"
    return type(public).__name__.removesuffix("PublicKey")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
