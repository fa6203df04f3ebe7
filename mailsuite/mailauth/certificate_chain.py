"""Whether a certificate leads to a trust anchor that DNS names, instead of to an authority that we know.

A short form of RFC 5280 §6: signatures, dates, who may issue and how deep. Names are compared as RFC 6125 §6.4 says.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import NameOID

MAX_DEPTH = 8


def issued_by(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    bare_key: bytes | None,
    timestamp: float,
) -> str:
    """Why no path of the `others` leads from `leaf` to one of the `anchors`, or to what the bare key (a DER SPKI) has
    signed, in plain words; "" when one does. The anchor's own dates count for nothing: DNS vouches for it."""
    now = datetime.fromtimestamp(timestamp, UTC)
    current = leaf
    for depth in range(MAX_DEPTH):
        if not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
            return f"the certificate of {_name(current)} is not valid now"
        if any(_issued(current, anchor, depth) for anchor in anchors):
            return ""
        if bare_key and _signed(current, bare_key):
            return ""
        issuer = next((one for one in others if one != current and _issued(current, one, depth)), None)
        if issuer is None:
            break
        current = issuer
    return "no certificate of its chain is, or comes from, the authority that the TLSA record names"


def names_fit(certificate: x509.Certificate, names: Sequence[str]) -> bool:
    """Whether the certificate names one of the hosts: a DNS name, with `*` for the whole leftmost label; the common
    name only where it has no DNS names at all."""
    presented = _presented(certificate)
    return any(_fits(pattern, name.lower().rstrip(".")) for pattern in presented for name in names)


def _fits(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        label, dot, rest = name.partition(".")
        return bool(label and dot) and rest == pattern[2:]
    return pattern == name


def _presented(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = list(found.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        names = []
    if not names:
        names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return [name.lower().rstrip(".") for name in names]


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, depth: int) -> bool:
    """Whether `issuer` signed the certificate and was allowed to; `depth` is how many others stand below."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    if not constraints.ca or (constraints.path_length is not None and constraints.path_length < depth):
        return False
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False


def _signed(certificate: x509.Certificate, spki: bytes) -> bool:
    """Whether the bare key signed the certificate (TLSA 2 1 0 without its certificate, RFC 7671 §5.2.2)."""
    try:
        key = load_der_public_key(spki)
        hash_algorithm = certificate.signature_hash_algorithm
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        if isinstance(key, rsa.RSAPublicKey) and hash_algorithm:
            key.verify(signature, signed, padding.PKCS1v15(), hash_algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and hash_algorithm:
            key.verify(signature, signed, ec.ECDSA(hash_algorithm))
        else:
            return False
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:100] or "the host"
