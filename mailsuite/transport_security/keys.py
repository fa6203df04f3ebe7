"""The keys of this host's certificate: the one in use, and the next one, made ahead so that its TLSA record can be
published before a certificate for it is (RFC 7671 §8.1, RFC 6698 appendix A.4)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from mailsuite.configuration import Configuration
from mailsuite.files import replace_file


class KeyProblem(Exception):
    """A certificate or key can't be read; str() says which and what to do."""


@dataclass(frozen=True, slots=True)
class Keys:
    """SHA-256 digests of SPKIs in hex; `next` "" when no next key is kept, or it is already in use."""

    current: str
    next: str = ""


def next_key_path(configuration: Configuration) -> Path:
    """Where the private key is that the next certificate is to be made for."""
    return configuration.data / "tls" / "next-key.pem"


def request_path(configuration: Configuration) -> Path:
    """Where the request for that certificate is (PKCS #10)."""
    return configuration.data / "tls" / "next.csr"


def read_keys(configuration: Configuration) -> Keys:
    """The keys as the files have them now. Raises KeyProblem when the certificate can't be read."""
    current = spki_digest(read_certificate(configuration).public_key())
    path = next_key_path(configuration)
    if not path.exists():
        return Keys(current)
    upcoming = spki_digest(_private_key(path).public_key())
    return Keys(current, "" if upcoming == current else upcoming)


def read_certificate(configuration: Configuration) -> x509.Certificate:
    """The certificate that the listeners show. Raises KeyProblem."""
    path = configuration.certificate
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise KeyProblem(f"The certificate {path} can't be read: {error.strerror}.") from None
    except ValueError:
        raise KeyProblem(f"{path} is no PEM certificate.") from None


def make_next_key(configuration: Configuration) -> Path:
    """Makes the next key (ECDSA P-256) with a request for a certificate, unless one waits already; returns the path of
    the request. The key stays until it is in use: after that the next call makes another."""
    path, request = next_key_path(configuration), request_path(configuration)
    if not path.exists() or not read_keys(configuration).next:
        key = ec.generate_private_key(ec.SECP256R1())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        request.unlink(missing_ok=True)
    if not request.exists():
        replace_file(request, _request(configuration, _private_key(path)))
    return request


def spki_digest(public_key: object) -> str:
    """The SHA-256 of a public key, in hex, as TLSA 3 1 1 has it (RFC 6698 §2.1)."""
    octets = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return hashlib.sha256(octets).hexdigest()


def certificate_names(certificate: x509.Certificate) -> list[str]:
    """The host names that a certificate is good for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise KeyProblem(f"The next key {path} can't be read: {error.strerror}.") from None
    except (ValueError, TypeError):
        raise KeyProblem(f"{path} is no PEM key without a password; remove it to have another made.") from None
    return key  # type: ignore[return-value]


def _request(configuration: Configuration, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request for the names of the present certificate, this host's at least."""
    names = dict.fromkeys([configuration.hostname, *certificate_names(read_certificate(configuration))])
    public = [x509.DNSName(name) for name in names if "." in name]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, configuration.hostname[:64])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if public:
        builder = builder.add_extension(x509.SubjectAlternativeName(public), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
