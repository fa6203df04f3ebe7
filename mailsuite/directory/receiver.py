"""Which mailbox or alias takes mail for an address of a hosted domain, before any alias is followed."""

from collections.abc import Mapping

from mailsuite.directory.patterns import pattern_matches
from mailsuite.directory.resolution import REPORT_READER, ROLES, DomainEntry, Entry, LocalTarget, MailboxEntry, Source
from mailsuite.mail.address import Address, split_subaddress
from mailsuite.mail.srs import is_srs


def receiver(address: Address, domain: DomainEntry, source: Source) -> tuple[Entry | None, str | None]:
    """The mailbox or alias that takes mail for an address of `domain`, and the detail that was taken off to find it.
    An alias that was switched off is found too, so that a catch-all doesn't take its place."""
    return find_receiver(address, domain, source.entries(keys_of(address, domain)), source)


def find_receiver(
    address: Address, domain: DomainEntry, found: Mapping[str, Entry], source: Source
) -> tuple[Entry | None, str | None]:
    """The same as `receiver`; the entries of the address' own keys are found already."""
    _, detail = split_subaddress(address.local_part)
    keys = keys_of(address, domain)
    whole, without = keys[0], keys[-1]
    if entry := found.get(whole):
        return entry, None
    if is_srs(address.local_part):
        return None, None
    if entry := found.get(without):
        return entry, detail
    if report_kind(address):
        return None, None
    for key in keys:
        for pattern in domain.patterns:
            if pattern_matches(pattern, key):
                return source.entries([pattern]).get(pattern), detail if key is without else None
    if domain.catch_all:
        return source.entries([domain.catch_all]).get(domain.catch_all), None
    return (source.role_mailbox(domain.domain_id), detail) if is_role(address) else (None, None)


def keys_of(address: Address, domain: DomainEntry) -> list[str]:
    """The keys to look for: of the whole address, and of the one without its detail."""
    base, detail = split_subaddress(address.local_part)
    whole = Address(address.local_part, domain.canonical).key
    return [whole] if detail is None else [whole, Address(base, domain.canonical).key]


def report_kind(address: Address) -> str:
    """What the report reader reads the address for, "" when it doesn't."""
    base, _ = split_subaddress(address.local_part)
    return REPORT_READER.get(base.lower(), "")


def is_role(address: Address) -> bool:
    return split_subaddress(address.local_part)[0].lower() in ROLES


def local_target(entry: MailboxEntry, detail: str | None = None) -> LocalTarget:
    return LocalTarget(entry.mailbox_id, entry.domain_id, entry.address, entry.quota_octets, entry.state, detail)
