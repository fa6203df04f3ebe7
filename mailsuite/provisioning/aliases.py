"""Aliases: addresses, catch-alls (`@example.org`) and patterns (`sales-*@example.org`) that lead to other addresses."""

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mailsuite.directory import parsing
from mailsuite.directory.alias_walk import reach
from mailsuite.directory.models import Alias, AliasTarget, Domain, Mailbox
from mailsuite.directory.resolution import MAX_TARGETS, AliasEntry, Kind
from mailsuite.directory.resolving import resolve
from mailsuite.directory.source import DatabaseSource
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import Address

# Each recipient that no mailbox or alias is named after is tried against all of them.
MAX_PATTERNS = 200


def add_alias(address: str, targets: Sequence[str], *, members_may_send: bool | None = None) -> int:
    """Makes an alias and returns its id. Unless said, members may send as an address, not as a catch-all or pattern.

    Targets at hosted domains must exist, and no alias may lead back to itself.
    """
    with transaction.atomic():
        alias = write_alias(address, targets, members_may_send=members_may_send)
        touch_directory()
    return alias.pk


def change_alias(
    address: str,
    *,
    targets: Sequence[str] | None = None,
    is_active: bool | None = None,
    members_may_send: bool | None = None,
) -> None:
    """Changes what is given."""
    with transaction.atomic():
        alias = parsing.live_alias(address)
        if is_active is not None:
            alias.is_active = is_active
        if members_may_send is not None:
            alias.members_may_send = members_may_send
        alias.save(update_fields=["is_active", "members_may_send"])
        if targets is not None:
            write_targets(alias, targets, check_targets=True)
        elif is_active:
            refuse_loop(alias)
        touch_directory()


def write_alias(
    address: str, targets: Sequence[str], *, members_may_send: bool | None, check_targets: bool = True
) -> Alias:
    """The rows of a new alias, in the caller's transaction, without a new version."""
    kind, text, key = parsing.alias(address)
    domain = parsing.own_domain(text.rpartition("@")[2])
    refuse_used(text, key)
    refuse_more_patterns(kind, domain)
    if members_may_send is None:
        members_may_send = kind == Alias.Kind.ADDRESS
    alias = Alias.objects.create(
        domain=domain, kind=kind, address=text, address_key=key, members_may_send=members_may_send
    )
    write_targets(alias, targets, check_targets=check_targets)
    return alias


def refuse_used(text: str, key: str) -> None:
    """Raises ChangeRefused when an alias or a mailbox has the address."""
    if Mailbox.objects.filter(address_key=key).exists():
        raise ChangeRefused(f"{text} is a mailbox, so it can't be an alias.")
    if Alias.objects.filter(address_key=key).exists():
        raise ChangeRefused(f"The alias {text} is there already: remove it first with manage.py alias remove {text}")


def refuse_more_patterns(kind: str, domain: Domain) -> None:
    """Raises ChangeRefused when the domain has as many patterns as it may."""
    if kind == Alias.Kind.PATTERN and domain.aliases.filter(kind=kind, removed_at=None).count() >= MAX_PATTERNS:
        raise ChangeRefused(
            f"{domain} has {MAX_PATTERNS} patterns already: remove one, or write one that takes the place of several."
        )


def write_targets(alias: Alias, targets: Sequence[str], *, check_targets: bool) -> None:
    """Has the alias lead to these, in the caller's transaction. Targets that were removed may still be restored, except
    those of other domains: their people would come back to a list that was written without them."""
    parsed = {address.key: address for address in map(parsing.address, targets)}
    if not parsed:
        raise ChangeRefused(f"{alias} needs at least one address that its mail goes to.")
    if len(parsed) > MAX_TARGETS:
        raise ChangeRefused(f"{alias} has more than {MAX_TARGETS} targets: a mailing list does that better.")
    foreign = ~Q(address_key__endswith=f"@{alias.domain.name}")
    alias.targets.filter(Q(removed_at=None) | Q(address_key__in=parsed) | foreign).delete()
    AliasTarget.objects.bulk_create(
        AliasTarget(alias=alias, address=str(address), address_key=key) for key, address in parsed.items()
    )
    refuse_loop(alias)
    if check_targets:
        _refuse_unknown(list(parsed.values()))


def refuse_loop(alias: Alias) -> None:
    """Raises ChangeRefused when the alias, as it is now, leads back to itself or to too many: follows it by the same
    rule that delivers mail. What is wrong with the aliases of other domains is not told in their words: whoever writes
    this one may not know them."""
    source = DatabaseSource(settings.MAILSUITE.hostname, "default")
    targets = tuple(alias.targets.filter(removed_at=None).order_by("pk").values_list("address", flat=True))
    entry = AliasEntry(alias.pk, alias.domain_id, alias.address, alias.kind, True, alias.members_may_send, targets)
    for part in reach(entry, source):
        for end in part.step.dead if part.step else ():
            is_own = part.domain_id == alias.domain_id or end.address == str(alias)
            where = end.address if is_own else "an alias of another domain"
            match end.reason:
                case "loop":
                    raise ChangeRefused(
                        f"The mail would go round in a circle: behind {alias} it comes to {where} again."
                    )
                case "too-deep":
                    raise ChangeRefused(f"Too many aliases behind one another at {where}: name the last one's targets.")
                case "too-many":
                    raise ChangeRefused(
                        f"{alias} leads by other aliases to too many further ones, or to more than {MAX_TARGETS} "
                        "addresses: a mailing list does that better."
                    )


def _refuse_unknown(targets: Sequence[Address]) -> None:
    source = DatabaseSource(settings.MAILSUITE.hostname, "default")
    for target in targets:
        if resolve(target, source).kind is Kind.UNKNOWN:
            raise ChangeRefused(f"There is no {target} here: add the mailbox first, or correct the address.")
