"""Apple's configuration profile for one mailbox, for iPhone, iPad and Mac: everything but the password."""

import plistlib
import uuid
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from django.conf import settings

from mailsuite.autoconfig import client_settings

CONTENT_TYPE = "application/x-apple-aspen-config"
_NAMESPACE = uuid.UUID("7b1f3d54-8a55-4d4a-9d5e-6a1f0c2f7e10")


def profile(address: str, name: str) -> bytes:
    """The profile, signed where a real certificate is configured: devices say "verified" of it then."""
    return _signed(plistlib.dumps(_configuration(address, name)))


def is_possible() -> bool:
    """Whether mail can be both read and sent by what is switched on."""
    return client_settings.best("smtp") is not None and _incoming() is not None


def _incoming() -> client_settings.Server | None:
    return client_settings.best("imap") or client_settings.best("pop3")


def _configuration(address: str, name: str) -> dict[str, Any]:
    host = settings.MAILSUITE.hostname
    # Names stay the same for a mailbox, so that a profile put in again replaces the earlier one.
    identifier = f"{'.'.join(reversed(host.split('.')))}.mail.{uuid.uuid5(_NAMESPACE, address)}"
    return {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.uuid5(_NAMESPACE, identifier)).upper(),
        "PayloadDisplayName": f"Mail for {address}",
        "PayloadDescription": f"Sets up {address}. You are asked for the password when you install it.",
        "PayloadOrganization": host,
        "PayloadContent": [_account(address, name, f"{identifier}.account")],
    }


def _account(address: str, name: str, identifier: str) -> dict[str, Any]:
    incoming, outgoing = _incoming(), client_settings.best("smtp")
    assert incoming is not None and outgoing is not None
    return {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.uuid5(_NAMESPACE, identifier)).upper(),
        "PayloadDisplayName": address,
        "EmailAccountDescription": address,
        "EmailAccountName": name or address,
        "EmailAccountType": "EmailTypeIMAP" if incoming.protocol == "imap" else "EmailTypePOP",
        "EmailAddress": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": incoming.host,
        "IncomingMailServerPortNumber": incoming.port,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": outgoing.host,
        "OutgoingMailServerPortNumber": outgoing.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
    }


def _signed(plist: bytes) -> bytes:
    """The profile as CMS signed data (RFC 5652 §5); as it is without a certificate, or with a kind of key that
    profiles can't be signed by."""
    configuration = settings.MAILSUITE
    if configuration.tls_cert is None:
        return plist
    key = load_pem_private_key(configuration.certificate_key.read_bytes(), password=None)
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        return plist
    first, *chain = x509.load_pem_x509_certificates(configuration.certificate.read_bytes())
    builder = PKCS7SignatureBuilder().set_data(plist).add_signer(first, key, SHA256())
    for certificate in chain:
        builder = builder.add_certificate(certificate)
    return builder.sign(Encoding.DER, [PKCS7Options.Binary, PKCS7Options.NoCapabilities])
