"""The certificate of the first run: self-signed, for trying things out and until a real one is there."""

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailsuite.files import replace_file

# Apple's clients refuse server certificates that are valid for more than 825 days.
LIFETIME = timedelta(days=800)
RENEW_BEFORE = timedelta(days=60)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def ensure_certificate(certificate: Path, key: Path, hostname: str, now: datetime) -> bool:
    """Makes a certificate for `hostname` and loopback (ECDSA P-256, which every client of the last decade takes) unless
    a fitting one is there; returns whether one was made."""
    if certificate.exists() and key.exists() and _fits(certificate.read_bytes(), hostname, now):
        return False
    # A key that stays is one that TLSA records know (RFC 6698): only its certificate is made anew.
    private_key = _kept(key) or ec.generate_private_key(ec.SECP256R1())
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(
        key,
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    replace_file(certificate, _self_signed(private_key, hostname, now).public_bytes(serialization.Encoding.PEM))
    return True


def _kept(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _fits(pem: bytes, hostname: str, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    fresh = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
    return fresh and hostname in names.get_values_for_type(x509.DNSName)


def _self_signed(private_key: ec.EllipticCurvePrivateKey, hostname: str, now: datetime) -> x509.Certificate:
    # RFC 5280 §4.2.1.6: clients look at the alternative names alone; a common name longer than 64 is not allowed.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(private_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_names(hostname)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(key_identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier), critical=False)
        .sign(private_key, hashes.SHA256())
    )


def _names(hostname: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((hostname, *LOOPBACK)):
        try:
            names.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    return names
