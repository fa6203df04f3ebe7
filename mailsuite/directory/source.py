"""The directory's tables as a `Source` of resolution: straight from the database, nothing remembered."""

from collections.abc import Sequence

from django.db.models import Q

from mailsuite.directory.models import Alias, Domain, Mailbox
from mailsuite.directory.resolution import AliasEntry, DomainEntry, Entry, MailboxEntry, by_weight


class DatabaseSource:
    """Reads by the alias `using`: "reader" for look-ups, "default" within a transaction that changes the directory."""

    def __init__(self, hostname: str, using: str = "reader") -> None:
        self._hostname, self._using = hostname, using

    def domain(self, name: str) -> DomainEntry | None:
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
            .filter(domain=main, is_active=True)
            .exclude(kind=Alias.Kind.ADDRESS)
            .values_list("kind", "address_key")
        )
        patterns = by_weight([key for kind, key in special if kind == Alias.Kind.PATTERN])
        catch_all = next((key for kind, key in special if kind == Alias.Kind.CATCH_ALL), "")
        return DomainEntry(main.pk, domain.name, main.name, disabled, patterns, catch_all)

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        mailboxes = Mailbox.objects.using(self._using).filter(address_key__in=keys)
        found: dict[str, Entry] = {
            row.address_key: _mailbox_entry(row) for row in mailboxes.exclude(state=Mailbox.State.REMOVED)
        }
        aliases = Alias.objects.using(self._using).filter(address_key__in=[key for key in keys if key not in found])
        for alias in aliases.prefetch_related("targets"):
            targets = tuple(target.address for target in alias.targets.all())
            found[alias.address_key] = AliasEntry(
                alias.pk, alias.domain_id, alias.address, alias.kind, alias.is_active, alias.members_may_send, targets
            )
        return found

    def role_mailbox(self, domain_id: int | None) -> MailboxEntry | None:
        live = Mailbox.objects.using(self._using).exclude(state=Mailbox.State.REMOVED)
        live = live.filter(domain__state=Domain.State.ACTIVE).order_by("pk")
        ways = [Q(user__is_superuser=True)]
        if domain_id is not None:
            ways = [Q(user__administered_domains=domain_id), *ways, Q(domain_id=domain_id)]
        for way in [*ways, Q()]:
            if row := live.filter(way).first():
                return _mailbox_entry(row)
        return None

    def is_own_host(self, domain: str) -> bool:
        return domain == self._hostname


def _mailbox_entry(row: Mailbox) -> MailboxEntry:
    return MailboxEntry(row.pk, row.domain_id, row.user_id, row.address, row.quota_octets, row.state)
