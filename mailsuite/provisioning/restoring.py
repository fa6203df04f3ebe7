"""Bringing back what was removed: mailboxes, domains and aliases, with what was removed together with them.

Mail, folders, rules, aliases and the account with its password come back as they were. App passwords, permissions to
send as somebody and the administration of domains do not: they were ended, and are given anew by whoever wants to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from mailsuite.directory import parsing
from mailsuite.directory.models import KEPT_REMOVED, Alias, AliasTarget, Domain, Mailbox, User
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import Address, parse_address
from mailsuite.provisioning.aliases import refuse_loop, refuse_more_patterns, refuse_used
from mailsuite.provisioning.domains import main_domain, refuse_hosted
from mailsuite.provisioning.forwarding import move_forward
from mailsuite.provisioning.mailboxes import refuse_taken
from mailsuite.provisioning.removal import leading_to
from mailsuite.store.folders import reopen_mailboxes

R = TypeVar("R", Domain, Mailbox, Alias)


@dataclass(frozen=True, slots=True)
class RestoredDomain:
    """What came back; `left` are mailboxes that did not, each with the reason in words."""

    name: str
    mailboxes: int
    aliases: int
    left: Sequence[str]


def removed_mailboxes() -> QuerySet[Mailbox]:
    """Those that can be restored, the latest first."""
    return _kept(Mailbox.objects.filter(state=Mailbox.State.REMOVED))


def removed_domains() -> QuerySet[Domain]:
    """The same of domains."""
    return _kept(Domain.objects.filter(state=Domain.State.REMOVED))


def removed_aliases() -> QuerySet[Alias]:
    """The same of aliases. What forwarded a mailbox's mail comes back with that."""
    return _kept(Alias.objects.exclude(kind=Alias.Kind.FORWARD))


def find_removed_mailbox(address: str) -> int:
    """The id of the mailbox of that address that was removed last."""
    wanted = parsing.address(address)
    for pk, text in removed_mailboxes().filter(domain__name=wanted.domain).values_list("pk", "address"):
        if parse_address(text).key == wanted.key:
            return pk
    raise ChangeRefused(f"No removed mailbox {address} is kept. The list is: manage.py mailbox list --removed")


def find_removed_domain(name: str) -> int:
    """The id of the domain of that name that was removed last."""
    domain = removed_domains().filter(name=parsing.domain_name(name)).first()
    if domain is None:
        raise ChangeRefused(f"No removed domain {name} is kept. The list is: manage.py domain list --removed")
    return domain.pk


def find_removed_alias(address: str) -> int:
    """The id of the alias of that address that was removed last."""
    _, text, key = parsing.alias(address)
    for pk, kept in removed_aliases().filter(domain__name=key.rpartition("@")[2]).values_list("pk", "address"):
        if parsing.alias(kept)[2] == key:
            return pk
    raise ChangeRefused(f"No removed alias {text} is kept. The list is: manage.py alias list --removed")


def restore_mailbox(mailbox_id: int, *, as_address: str = "", owner: str = "") -> str:
    """Brings a mailbox back as it was, suspended if it was; returns its address. `as_address` gives it another one,
    since its own may be in use; `owner` gives it to an account that is there."""
    with transaction.atomic():
        mailbox = _locked(removed_mailboxes(), mailbox_id)
        if mailbox.domain.state == Domain.State.REMOVED and not as_address:
            raise ChangeRefused(f"{mailbox.domain} is removed: restore the domain first, or host it anew.")
        old, at = parse_address(mailbox.address), _removal_of(mailbox)
        address = parsing.address(as_address) if as_address else old
        if owner:
            mailbox.user = _owner(owner)
        _bring_back(mailbox, old, address)
        if address == old:
            _lead_again(old, mailbox.domain, at)
        touch_directory()
    return str(address)


def restore_domain(domain_id: int) -> RestoredDomain:
    """Brings back a domain with the other names, mailboxes and aliases that were removed with it. Who administers it is
    to be said anew."""
    with transaction.atomic():
        domain = _locked(removed_domains(), domain_id)
        refuse_hosted(domain.name)
        if domain.alias_of:
            main_domain(domain.alias_of.name, of=domain)
        at = _removal_of(domain)
        live = Domain.objects.exclude(state=Domain.State.REMOVED)
        others = domain.domain_aliases.filter(removed_at=at).exclude(name__in=live.values("name"))
        for row in (domain, *others):
            row.state, row.removed_at = row.state_before_removal or Domain.State.ACTIVE, None
            row.save(update_fields=["state", "removed_at"])
        left, mailboxes = (
            [],
            list(Mailbox.objects.select_related("user", "domain").filter(domain=domain, removed_at=at)),
        )
        for mailbox in mailboxes:
            address = parse_address(mailbox.address)
            try:
                with transaction.atomic():
                    _bring_back(mailbox, address, address)
            except ChangeRefused as error:
                left.append(f"{mailbox}: {error}")
        aliases = Alias.objects.filter(domain=domain, removed_at=at).exclude(kind=Alias.Kind.FORWARD)
        count = sum(_bring_alias_back(alias) for alias in aliases)
        touch_directory()
    return RestoredDomain(domain.name, len(mailboxes) - len(left), count, left)


def restore_alias(alias_id: int) -> str:
    """Brings an alias back with its targets; returns its address."""
    with transaction.atomic():
        alias = _locked(removed_aliases(), alias_id)
        if alias.domain.state == Domain.State.REMOVED:
            raise ChangeRefused(f"{alias.domain} is removed: restore the domain first.")
        at = _removal_of(alias)
        _bring_alias_back(alias)
        if alias.kind == Alias.Kind.ADDRESS:
            _lead_again(parse_address(alias.address), alias.domain, at)
        refuse_loop(alias)
        touch_directory()
    return alias.address


def _kept(rows: QuerySet[R]) -> QuerySet[R]:
    return rows.filter(removed_at__gt=timezone.now() - KEPT_REMOVED).order_by("-removed_at", "-pk")


def _locked(rows: QuerySet[R], pk: int) -> R:
    row = rows.select_for_update().filter(pk=pk).first()
    if row is None:
        raise ChangeRefused(f"This is not removed any more, or its {KEPT_REMOVED.days} days are over.")
    return row


def _removal_of(row: Domain | Mailbox | Alias) -> datetime:
    assert row.removed_at is not None
    return row.removed_at


def _bring_back(mailbox: Mailbox, old: Address, address: Address) -> None:
    """Writes the mailbox back, with its account and forwarding. Raises ChangeRefused when a name is in use."""
    domain = parsing.own_domain(address.domain)
    refuse_taken(address)
    _bring_account_back(mailbox.user, old, address)
    at, mailbox.removed_at = _removal_of(mailbox), None
    mailbox.domain, mailbox.address, mailbox.address_key = domain, str(address), address.key
    mailbox.state = mailbox.state_before_removal or Mailbox.State.ACTIVE
    mailbox.save()
    reopen_mailboxes([mailbox.pk])
    for forward in Alias.objects.filter(kind=Alias.Kind.FORWARD, removed_at=at, address=str(old)):
        forward.removed_at = None
        move_forward(forward, old, address)


def _bring_account_back(user: User, old: Address, address: Address) -> None:
    """An account that was removed, under its name, or under the mailbox's if that was its name. A name at another
    domain is that domain's to give: whoever restores this mailbox need not have any right there."""
    if user.removed_at is None:
        return
    named = parse_address(user.email)
    is_elsewhere = named.domain != old.domain and Domain.objects.filter(name=named.domain).exists()
    named = address if named.key == old.key or is_elsewhere else named
    if User.objects.filter(address_key=named.key).exists():
        raise ChangeRefused(
            f"There is an account {named} by now. Give the mailbox to it, by "
            f"manage.py mailbox restore {old} --owner {named}, or restore it under another address, with --as."
        )
    user.email, user.address_key, user.removed_at = str(named), named.key, None
    user.save(update_fields=["email", "address_key", "removed_at"])


def _owner(text: str) -> User:
    user = User.objects.filter(address_key=parsing.address(text).key, is_active=True).first()
    if user is None:
        raise ChangeRefused(f"There is no account {text} that may sign in.")
    return user


def _bring_alias_back(alias: Alias) -> bool:
    """Writes the alias back. Raises ChangeRefused when its address is in use."""
    kind, text, key = parsing.alias(alias.address)
    refuse_used(text, key)
    refuse_more_patterns(kind, alias.domain)
    alias.removed_at, alias.address_key = None, key
    alias.save(update_fields=["removed_at", "address_key"])
    return True


def _lead_again(address: Address, domain: Domain, at: datetime) -> None:
    """What led there until that removal leads there again."""
    AliasTarget.objects.filter(leading_to(address, domain), removed_at=at).update(removed_at=None)
