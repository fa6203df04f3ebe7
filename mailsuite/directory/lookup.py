"""What the services ask the directory: who gets mail for an address, and who may send as one.

Plain values out, remembered per process while the directory's version stays the same. Everything here is synchronous
and reads by the `reader` alias.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from django.conf import settings

from mailsuite.directory import receiver, resolving
from mailsuite.directory.alias_walk import Members
from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Domain, Mailbox, SendAs
from mailsuite.directory.resolution import (
    REWRITTEN_SENDER,
    AliasEntry,
    DomainEntry,
    Entry,
    Expansion,
    Kind,
    MailboxEntry,
    Part,
    Resolution,
)
from mailsuite.directory.source import DatabaseSource
from mailsuite.mail import srs
from mailsuite.mail.address import Address, AddressError, Path, normalize_domain, parse_address, split_subaddress
from mailsuite.secrets import site_keys

T = TypeVar("T")
# Keys of more addresses than a recipient and its detail need are read at once and not remembered one by one.
FEW_KEYS = 4


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A domain that is ours, under the name that was asked for. `canonical` differs for a domain alias."""

    domain_id: int
    name: str
    canonical: str
    is_disabled: bool


def resolve(address: str | Address | Path) -> Resolution:
    """Who gets mail for an address or path; what can't be parsed is unknown. `postmaster` needs no domain.

    A sender that was rewritten for forwarding leads back to whoever wrote, wherever a return path is turned: at RCPT,
    for notifications, and for mail that comes home. One that is not ours, or is over, is unknown with its own reason.
    """
    parsed = _parsed(address)
    if parsed is None:
        return Resolution(Kind.UNKNOWN, reason="malformed")
    found = CACHE.get(
        ("resolve", str(parsed)),
        lambda: resolving.resolve(parsed, _source()),
        is_unknown=lambda found: found.kind in (Kind.UNKNOWN, Kind.UNHOSTED),
    )
    # What that leads to changes with the day, so it is not remembered.
    return _way_back(parsed, found.domain_id) if found.reason == REWRITTEN_SENDER else found


def hosted_domain(name: str) -> HostedDomain | None:
    """The domain of that name (any form of it) if it is ours, disabled ones included."""
    try:
        name = normalize_domain(name)
    except AddressError:
        return None
    return CACHE.get(("domain", name), lambda: _hosted_domain(name), is_unknown=lambda found: found is None)


def hosted_names() -> frozenset[str]:
    """Every domain that is ours and not disabled, domain aliases included."""
    return CACHE.get(
        "names",
        lambda: frozenset(
            Domain.objects.using("reader").filter(state=Domain.State.ACTIVE).values_list("name", flat=True)
        ),
    )


def may_send_as(user_id: int, address: str | Address) -> bool:
    """Whether the user may put the address into envelope, From or Sender.

    Yes for the mailboxes that are theirs, with any detail; for aliases that lead straight to one of them and let their
    members send; for the same under a domain alias; and for what SendAs grants, which may be a whole `@domain`.
    An address that another mailbox receives is never theirs by a catch-all.
    """
    parsed = _parsed(address)
    if parsed is None or not parsed.domain:
        return False
    return CACHE.get(
        ("send-as", user_id, str(parsed)), lambda: _may_send_as(user_id, parsed), is_unknown=lambda may: not may
    )


class _RememberingSource(DatabaseSource):
    """Domains and the mailboxes that many aliases lead to are read once for each version of the directory."""

    def domain(self, name: str) -> DomainEntry | None:
        return CACHE.get(("domain-entry", name), lambda: super(_RememberingSource, self).domain(name), _is_none)

    def remember(self, key: Hashable, load: Callable[[], T]) -> T:
        return CACHE.get(key, load, weigh=_weight)

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        if len(keys) > FEW_KEYS:
            return super().entries(keys)
        found = ((key, CACHE.get(("entry", key), partial(self._entry, key), _is_none)) for key in keys)
        return {key: entry for key, entry in found if entry is not None}

    def role_mailbox(self, domain_id: int | None) -> MailboxEntry | None:
        return CACHE.get(("role", domain_id), lambda: super(_RememberingSource, self).role_mailbox(domain_id), _is_none)

    def _entry(self, key: str) -> Entry | None:
        return super().entries([key]).get(key)


def _weight(value: object) -> int:
    """What is remembered of an alias weighs as much as it names; of what shares that, the parts."""
    if isinstance(value, Members):
        return 1 + len(value.local) + len(value.remote) + len(value.aliases) + len(value.dead)
    return 1 + len(value) if isinstance(value, tuple) else 1


def _way_back(address: Address, domain_id: int | None) -> Resolution:
    """Where mail for a rewritten sender goes."""
    try:
        original = srs.reverse(address, site_keys("srs"), datetime.now(UTC).date())
    except srs.SrsExpired:
        return Resolution(Kind.UNKNOWN, domain_id=domain_id, reason="rewritten-sender-expired")
    except srs.SrsError:
        return Resolution(Kind.UNKNOWN, domain_id=domain_id, reason="rewritten-sender-invalid")
    found = resolve(original)
    if found.kind is not Kind.UNHOSTED:
        return found
    text, back = str(address), str(original)
    step = Expansion(text, REWRITTEN_SENDER, (back,), domain_id)
    part = Part(f"back {text}", text, domain_id, remote={original.key: back}, step=step)
    return Resolution(Kind.RESOLVED, (part,), domain_id)


def _is_none(value: object) -> bool:
    return value is None


def _source() -> DatabaseSource:
    return _RememberingSource(settings.MAILSUITE.hostname, "reader")


def _parsed(address: str | Address | Path) -> Address | None:
    """The address; one without domain for the bare postmaster; None for what is none."""
    if isinstance(address, Path):
        return address.address
    if isinstance(address, Address):
        return address
    if address.lower() == "postmaster":
        return Address(address, "")
    try:
        return parse_address(address)
    except AddressError:
        return None


def _hosted_domain(name: str) -> HostedDomain | None:
    found = _source().domain(name)
    return HostedDomain(found.domain_id, found.name, found.canonical, found.is_disabled) if found else None


def _may_send_as(user_id: int, address: Address) -> bool:
    source = _source()
    domain = source.domain(address.domain)
    if domain is not None and _receives(user_id, address, source):
        return True
    names = {address.domain, domain.canonical if domain else address.domain}
    base, _ = split_subaddress(address.local_part)
    keys = {Address(local, name).key for local in (address.local_part, base) for name in names}
    keys |= {f"@{name}" for name in names}
    return SendAs.objects.using("reader").filter(user_id=user_id, address_key__in=keys).exists()


def _receives(user_id: int, address: Address, source: DatabaseSource) -> bool:
    """Whether mail for the address goes to a mailbox of the user, or by one alias, that allows it, to one."""
    match _receiver(address, source):
        case MailboxEntry(user_id=owner, state=Mailbox.State.ACTIVE):
            return owner == user_id
        case AliasEntry(is_active=True, members_may_send=True, targets=targets):
            return any(_owns(user_id, target, source) for target in targets)
    return False


def _owns(user_id: int, target: str, source: DatabaseSource) -> bool:
    match _receiver(parse_address(target), source):
        case MailboxEntry(user_id=owner, state=Mailbox.State.ACTIVE):
            return owner == user_id
    return False


def _receiver(address: Address, source: DatabaseSource) -> MailboxEntry | AliasEntry | None:
    domain = source.domain(address.domain)
    return receiver.receiver(address, domain, source)[0] if domain and not domain.is_disabled else None
