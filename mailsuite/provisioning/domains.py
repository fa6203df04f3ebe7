"""Domains: hosted, disabled. Their removal is in removal.py."""

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from mailsuite.directory import parsing
from mailsuite.directory.models import Alias, Domain, Mailbox, User
from mailsuite.directory.resolution import ROLES
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning.aliases import write_alias
from mailsuite.signing.keys import KeyPair, make_key_pairs, store_domain_keys


def add_domain(
    name: str,
    *,
    postmaster: str = "",
    alias_of: str = "",
    description: str = "",
    default_quota_octets: int | None = None,
    key_pairs: Sequence[KeyPair] | None = None,
) -> int:
    """Hosts a domain, with its DKIM keys and, unless it is another name of one, postmaster@ and abuse@; returns its id.

    Their mail goes to `postmaster`, else to the first administrator's address. `default_quota_octets` is for its new
    mailboxes, 0 for none; without one it is the host's (MAILSUITE_DEFAULT_QUOTA). It has nothing of a removed domain of
    the same name: whoever it belonged to may be somebody else.
    """
    name = parsing.domain_name(name)
    if postmaster:
        parsing.address(postmaster)
    refuse_hosted(name)
    parsing.label(description, "description")
    key_pairs = make_key_pairs() if key_pairs is None else key_pairs
    with transaction.atomic():
        refuse_hosted(name)
        domain = Domain(name=name, description=description)
        domain.alias_of = main_domain(alias_of, of=domain) if alias_of else None
        domain.default_quota_octets = (
            settings.MAILSUITE.default_quota if default_quota_octets is None else default_quota_octets
        )
        domain.save()
        store_domain_keys(domain, key_pairs)
        if domain.alias_of is None:
            _add_roles(domain, postmaster or _first_administrator())
        touch_directory()
    return domain.pk


def change_domain(
    name: str, *, description: str | None = None, default_quota_octets: int | None = None, alias_of: str | None = None
) -> None:
    """Changes what is given; `alias_of` "" makes it a domain of its own again."""
    with transaction.atomic():
        domain = parsing.live_domain(name)
        if description is not None:
            domain.description = parsing.label(description, "description")
        if default_quota_octets is not None:
            domain.default_quota_octets = default_quota_octets
        if alias_of is not None:
            domain.alias_of = main_domain(alias_of, of=domain) if alias_of else None
        domain.save()
        touch_directory()


def set_domain_state(name: str, *, disabled: bool) -> None:
    """A disabled domain takes no mail and lets nobody sign in; nothing of it is lost: senders are asked to come again,
    which they do for some days, and what aliases lead there waits in the queue."""
    with transaction.atomic():
        domain = parsing.live_domain(name)
        domain.state = Domain.State.DISABLED if disabled else Domain.State.ACTIVE
        domain.save(update_fields=["state"])
        touch_directory()


def refuse_hosted(name: str) -> None:
    """Raises ChangeRefused when a domain of that name is hosted."""
    if Domain.objects.filter(name=name).exclude(state=Domain.State.REMOVED).exists():
        raise ChangeRefused(f"{name} is hosted here already.")


def main_domain(name: str, *, of: Domain) -> Domain:
    """The domain that `of` is to be another name of."""
    main = parsing.own_domain(name)
    if main.pk == of.pk:
        raise ChangeRefused(f"{main} can't be another name of itself.")
    if of.pk and (
        of.domain_aliases.exclude(state=Domain.State.REMOVED).exists()
        or of.mailboxes.exclude(state=Mailbox.State.REMOVED).exists()
    ):
        raise ChangeRefused(f"{of} has mailboxes or other names of its own: remove them first.")
    return main


def _add_roles(domain: Domain, target: str) -> None:
    """RFC 5321 §4.5.1 demands postmaster; RFC 2142 §4 asks for abuse."""
    if not target:
        return
    taken = set(
        Mailbox.objects.filter(domain=domain).exclude(state=Mailbox.State.REMOVED).values_list("address_key", flat=True)
    )
    taken |= set(Alias.objects.filter(domain=domain, removed_at=None).values_list("address_key", flat=True))
    for role in ROLES:
        if f"{role}@{domain.name}" not in taken:
            write_alias(f"{role}@{domain.name}", [target], members_may_send=True, check_targets=False)


def _first_administrator() -> str:
    """A mailbox of the first superuser who has one, else the first superuser's address."""
    owned = Mailbox.objects.filter(user__is_superuser=True, state=Mailbox.State.ACTIVE).order_by("user_id", "pk")
    if mailbox := owned.first():
        return mailbox.address
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return user.email if user else ""
