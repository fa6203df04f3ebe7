"""Mail that this host makes itself, such as notifications and reports: signed, and spooled for the store."""

import logging
import os
import secrets
from datetime import datetime

from mailsuite.directory import lookup
from mailsuite.mail.header import header_end
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, signature_fields
from mailsuite.secrets import SecretError
from mailsuite.store.blobs import mail_storage

logger = logging.getLogger(__name__)

CANT_SIGN = "can't be signed"


def signatures(octets: bytes, domain: str, now: datetime) -> tuple[bytes, str]:
    """Signature fields, and the reason to hold the mail when they can't be made: it must not go out without."""
    try:
        keys = lookup.dkim_keys(domain)
        end = header_end(octets, 0, len(octets))
        body = RelaxedBodyHash()
        body.update(octets[end:])
        return signature_fields(octets[:end], body.digest(), keys, int(now.timestamp())), ""
    except (SecretError, SigningError) as error:
        logger.error("mail of our own for %s can't be signed: %s", domain, error)
        return b"", CANT_SIGN


def spool(octets: bytes, prefix: str) -> str:
    """Writes the message into the spool and returns the file's name; the store makes it durable."""
    name = f"{prefix}-{secrets.token_hex(16)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(mail_storage().spool / name, flags, 0o600), "wb") as file:
        file.write(octets)
    return name
