"""The directory's tables as a `Source` of resolution: straight from the database, nothing remembered."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

from django.db import connections
from django.db.models import Q

from mailsuite.database.sql import placeholders, slices
from mailsuite.directory.models import Alias, Domain, Mailbox
from mailsuite.directory.patterns import by_weight
from mailsuite.directory.resolution import FORWARD, AliasEntry, DomainEntry, Entry, MailboxEntry

T = TypeVar("T")
# With its forward, an alias of the same key.
_MAILBOXES = (
    "SELECT m.address_key, m.id, m.domain_id, m.user_id, m.address, m.quota_octets, m.state, a.id, t.address"
    " FROM directory_mailbox m LEFT JOIN directory_alias a ON a.address_key = m.address_key"
    " LEFT JOIN directory_aliastarget t ON t.alias_id = a.id AND t.removed_at IS NULL"
    " WHERE m.state <> 'removed' AND m.address_key IN"
)
_ALIASES = (
    "SELECT a.address_key, a.id, a.domain_id, a.address, a.kind, a.is_active, a.members_may_send, t.address"
    " FROM directory_alias a LEFT JOIN directory_aliastarget t"
    " ON t.alias_id = a.id AND t.removed_at IS NULL WHERE a.address_key IN"
)


class DatabaseSource:
    """Reads by the alias `using`: "reader" for look-ups, "default" within a transaction that changes the directory."""

    def __init__(self, hostname: str, using: str = "reader") -> None:
        self._hostname, self._using = hostname, using

    def domain(self, name: str) -> DomainEntry | None:
        """See `Source`; a domain's other name leads to that domain."""
        domains = Domain.objects.using(self._using).select_related("alias_of").exclude(state=Domain.State.REMOVED)
        domain = domains.filter(name=name).first()
        if domain is None:
            return None
        main = domain.alias_of or domain
        if main.state == Domain.State.REMOVED:
            return None
        disabled = Domain.State.DISABLED in (domain.state, main.state)
        special = list(
            Alias.objects.using(self._using)
            .filter(domain=main, is_active=True, removed_at=None, kind__in=(Alias.Kind.CATCH_ALL, Alias.Kind.PATTERN))
            .values_list("kind", "address_key")
        )
        patterns = by_weight([key for kind, key in special if kind == Alias.Kind.PATTERN])
        catch_all = next((key for kind, key in special if kind == Alias.Kind.CATCH_ALL), "")
        return DomainEntry(main.pk, domain.name, main.name, disabled, patterns, catch_all)

    def remember(self, key: Hashable, load: Callable[[], T]) -> T:
        """Nothing is: what is asked within a transaction may change in it."""
        return load()

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        """See `Source`; in slices that a query takes."""
        found: dict[str, Entry] = {}
        for some in slices(keys):
            found.update(self._entries(some))
        return found

    def _entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        # By hand: every new recipient of every message comes by here, and the ORM took some 3 ms for it.
        wanted = placeholders(keys)
        with connections[self._using].cursor() as cursor:
            cursor.execute(f"{_MAILBOXES} ({wanted}) ORDER BY t.id", [*keys])
            found: dict[str, Entry] = {}
            for key, *facts, forward_id, target in cursor.fetchall():
                found[key] = _forwarding(found.get(key) or MailboxEntry(*facts), forward_id, target)
            if len(found) < len(keys):
                cursor.execute(f"{_ALIASES} ({wanted}) ORDER BY t.id", [*keys])
                targets: dict[str, list[str]] = {}
                for key, *columns, target in cursor.fetchall():
                    alias_id, domain_id, address, kind, is_active, members_may_send = columns
                    if key not in found:
                        found[key] = AliasEntry(
                            alias_id, domain_id, address, kind, bool(is_active), bool(members_may_send), ()
                        )
                    if target is not None:
                        targets.setdefault(key, []).append(target)
                for key, named in targets.items():
                    entry = found[key]
                    if isinstance(entry, AliasEntry):
                        found[key] = replace(entry, targets=tuple(named))
        return found

    def role_mailbox(self, domain_id: int | None) -> MailboxEntry | None:
        """See `Source`. Mailboxes that work come before those that are suspended, older ones before newer ones."""
        live = Mailbox.objects.using(self._using).exclude(state=Mailbox.State.REMOVED)
        live = live.filter(domain__state=Domain.State.ACTIVE).order_by("state", "pk")
        site = Q(user__is_superuser=True, user__is_active=True)
        ways = [site]
        if domain_id is not None:
            own = Q(domain_id=domain_id)
            administrators = Q(user__administered_domains=domain_id, user__is_active=True, user__is_staff=True)
            ways = [own & administrators, administrators, site, own]
        for way in ways:
            if row := live.filter(way).first():
                entry = self._entries([row.address_key]).get(row.address_key)
                return entry if isinstance(entry, MailboxEntry) else None
        return None

    def is_own_host(self, domain: str) -> bool:
        """See `Source`."""
        return domain == self._hostname


def _forwarding(entry: Entry, forward_id: int | None, target: str | None) -> Entry:
    """The mailbox, with one target more that its mail goes on to."""
    if not isinstance(entry, MailboxEntry) or forward_id is None or target is None:
        return entry
    forward = entry.forward or AliasEntry(forward_id, entry.domain_id, entry.address, FORWARD, True, False, ())
    return replace(entry, forward=replace(forward, targets=(*forward.targets, target)))
