"""Mail that this host makes itself, such as notifications and reports: it has the null reverse-path, and is signed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings

from mailsuite.directory import lookup
from mailsuite.directory.resolution import Kind, LocalTarget
from mailsuite.mail.address import Address, Path, parse_address, parse_path
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.parsed_header import Header
from mailsuite.mail.trace_fields import delivered_to, return_path
from mailsuite.mailauth.dkim.body import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningError, signature_fields
from mailsuite.queue import kept
from mailsuite.secrets import SecretError
from mailsuite.signing import lookup as signing
from mailsuite.store.operations import KEPT, LocalDelivery, Outgoing, RemoteRecipient, ReportDelivery

logger = logging.getLogger(__name__)

CANT_SIGN = "can't be signed"


@dataclass(slots=True)
class Ways:
    """Where such mail goes: each mailbox, report reader and address elsewhere once. `remote` are the addresses on other
    hosts by the domain whose alias, or rewritten sender, leads to them; `kept` are roles here that nobody reads."""

    local: dict[int, LocalDelivery] = field(default_factory=dict)
    reports: dict[tuple[str, int], ReportDelivery] = field(default_factory=dict)
    remote: dict[int | None, dict[str, str]] = field(default_factory=dict)
    kept: dict[str, int | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nobody gets it."""
        return not (self.local or self.reports or self.remote or self.kept)

    def outgoing(self, octets: bytes, expires_at: datetime, hold_reason: str = "") -> list[Outgoing]:
        """The envelopes for the queue, for a message of these octets."""
        every = [(domain_id, list(some.values()), hold_reason) for domain_id, some in self.remote.items()]
        every += [(domain_id, [text], KEPT) for text, domain_id in self.kept.items()]
        return [_envelope(octets, addresses, domain_id, expires_at, why) for domain_id, addresses, why in every]


def signatures(octets: bytes, domain: str, now: datetime) -> tuple[bytes, str]:
    """Signature fields, and the reason to hold the mail when they can't be made: it must not go out without."""
    try:
        keys = signing.dkim_keys(domain)
        header = Header.parse_message(octets)
        body = RelaxedBodyHash()
        body.update(octets[header.size_octets :])
        return signature_fields(header, body.digest(), keys, int(now.timestamp())), ""
    except (SecretError, SigningError) as error:
        logger.error("mail of our own for %s can't be signed: %s", domain, error)
        return b"", CANT_SIGN


def ways_to(addresses: Sequence[Address], elsewhere: int | None = None) -> Ways:
    """Where mail of our own to these addresses goes. Those that are unknown here lead nowhere, and so do those of other
    hosts unless there is a domain, `elsewhere`, in whose name such mail goes out. No more is kept for a role than its
    domain has room for: a stranger can have bounces made out to it."""
    found, seen = Ways(), set[str]()
    for address in addresses:
        resolution = lookup.resolve(address)
        if resolution.kind is Kind.UNHOSTED and elsewhere is not None and address.key not in seen:
            seen.add(address.key)
            found.remote.setdefault(elsewhere, {})[address.key] = str(address)
        for target in resolution.local:
            found.local.setdefault(target.mailbox_id, to_mailbox(target))
        for reader in resolution.reports:
            key = (reader.kind, reader.domain_id)
            found.reports.setdefault(key, ReportDelivery(reader.kind, reader.domain_id, reader.address))
        for part in resolution.parts:
            fresh = {key: text for key, text in part.remote.items() if key not in seen}
            seen.update(fresh)
            if fresh:
                found.remote.setdefault(part.domain_id, {}).update(fresh)
        for role in resolution.kept:
            text = role.address if "@" in role.address else f"{role.address}@{settings.MAILSUITE.hostname}"
            if text not in found.kept and not kept.is_full(role.domain_id):
                found.kept[text] = role.domain_id
    return found


def _envelope(
    octets: bytes, addresses: Sequence[str], domain_id: int | None, expires_at: datetime, hold_reason: str
) -> Outgoing:
    # As paths: a sender elsewhere may have a name that no address of ours could.
    parsed = [address for text in addresses if (address := parse_path(f"<{text}>").address)]
    return Outgoing(
        Envelope(
            reverse_path="",
            smtputf8=not octets.isascii() or any(address.is_internationalized for address in parsed),
            eight_bit=not octets.isascii(),
            expires_at=expires_at,
        ),
        prefix=b"",
        recipients=[RemoteRecipient(EnvelopeRecipient(str(address)), address.domain) for address in parsed],
        domain_id=domain_id,
        hold_reason=hold_reason,
    )


def to_mailbox(target: LocalTarget) -> LocalDelivery:
    """The delivery of such mail to a mailbox here."""
    prefix = return_path(Path(None)) + delivered_to(parse_address(target.address))
    return LocalDelivery(target.mailbox_id, target.address, prefix, target.domain_id)
