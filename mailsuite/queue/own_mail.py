"""Mail that this host makes itself, such as notifications and reports: it has the null reverse-path, and is signed."""

import logging
from datetime import datetime

from mailsuite.directory import lookup
from mailsuite.directory.resolution import LocalTarget
from mailsuite.mail.address import Path, parse_address
from mailsuite.mail.header import header_end
from mailsuite.mail.trace_fields import delivered_to, return_path
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, signature_fields
from mailsuite.secrets import SecretError
from mailsuite.store.operations import LocalDelivery

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


def to_mailbox(target: LocalTarget) -> LocalDelivery:
    """The delivery of such mail to a mailbox here."""
    prefix = return_path(Path(None)) + delivered_to(parse_address(target.address))
    return LocalDelivery(target.mailbox_id, target.address, prefix, target.domain_id)
