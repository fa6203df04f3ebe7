"""Removing mailboxes, domains and aliases. All that they gave to people ends in the same transaction.

What is removed is unknown from then on and its address free; it is kept for KEPT_REMOVED, and restored (restoring.py)
unless somebody else has the address by then. What ends for good: permissions to send as the address and those of an
account that goes with its last mailbox, its app passwords, its administration of domains, all sessions, and the counts
of failed logins. An account that keeps other mailboxes gives up the name of the one that is removed.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from mailsuite.access import throttle
from mailsuite.database.sql import slices
from mailsuite.directory import parsing
from mailsuite.directory.models import Alias, AliasTarget, Credential, Domain, Mailbox, SendAs, User
from mailsuite.directory.version import touch_directory
from mailsuite.mail.address import Address, parse_address
from mailsuite.store.folders import close_mailboxes

LIVE = ~Q(state=Mailbox.State.REMOVED)
KEY_GIVEN_BACK = Concat(Value("removed:"), Cast("pk", CharField()))


def remove_mailbox(address: str) -> None:
    """Makes it unknown to senders and clients. Aliases lead to it no more, nor does its forwarding to others; its
    account goes with it when this was its last mailbox (see `ends_account`)."""
    with transaction.atomic():
        mailbox = parsing.live_mailbox(address)
        at = timezone.now()
        _remove_mailboxes([mailbox.pk], at)
        _end_ways_to(parse_address(mailbox.address), mailbox.domain, at)
        touch_directory()


def remove_domain(name: str) -> None:
    """Stops hosting the domain, with its other names, mailboxes and aliases. Nobody administers it any more. What leads
    there from other domains' aliases goes out to wherever the domain is then."""
    with transaction.atomic():
        domain = parsing.live_domain(name)
        at = timezone.now()
        other_names = domain.domain_aliases.exclude(state=Domain.State.REMOVED)
        rows = Domain.objects.filter(pk__in=[domain.pk, *other_names.values_list("pk", flat=True)])
        names = [row.name for row in rows]
        mailboxes = Mailbox.objects.filter(LIVE, domain=domain).order_by("pk")
        for ids in slices(list(mailboxes.values_list("pk", flat=True))):
            _remove_mailboxes(ids, at)
        _mark_aliases(Alias.objects.filter(domain=domain), at)
        for one in names:
            SendAs.objects.filter(address_key__endswith=f"@{one}").delete()
            throttle.forget_domain(one)
        Domain.administrators.through.objects.filter(domain__in=rows).delete()
        rows.update(state_before_removal=F("state"), state=Domain.State.REMOVED, removed_at=at)
        touch_directory()


def remove_alias(address: str) -> None:
    """Makes it unknown. Other aliases lead to it no more."""
    with transaction.atomic():
        alias = parsing.live_alias(address)
        at = timezone.now()
        _mark_aliases(Alias.objects.filter(pk=alias.pk), at)
        if alias.kind == Alias.Kind.ADDRESS:
            _end_ways_to(parse_address(alias.address), alias.domain, at)
        touch_directory()


def ends_account(mailbox: Mailbox) -> bool:
    """Whether the mailbox's account goes with it: it was its last, and the account is no superuser's. A domain
    administrator's goes only with the mailbox that it is named for."""
    user = mailbox.user
    others = Mailbox.objects.filter(LIVE, user=user).exclude(pk=mailbox.pk)
    if user.is_superuser or others.exists():
        return False
    return not user.is_staff or user.address_key == mailbox.address_key


def leading_to(address: Address, domain: Domain) -> Q:
    """Rows whose `address_key` is the address, with any detail, under any name of its domain."""
    found = Q()
    for name in (domain.name, *domain.domain_aliases.filter(removed_at=None).values_list("name", flat=True)):
        local_part = Address(address.local_part, name).key.rpartition("@")[0]
        with_detail = Q(address_key__startswith=f"{local_part}+", address_key__endswith=f"@{name}")
        found |= Q(address_key=f"{local_part}@{name}") | with_detail
    return found


def _remove_mailboxes(mailbox_ids: Sequence[int], at: datetime) -> None:
    """Marks these; their accounts where it is the end of them."""
    # Locked in the order in which the store locks, so that nothing is filed in them after this transaction.
    close_mailboxes(mailbox_ids)
    rows = Mailbox.objects.filter(LIVE, pk__in=mailbox_ids)
    keys = dict(rows.values_list("address_key", "user_id"))
    _mark_aliases(Alias.objects.filter(kind=Alias.Kind.FORWARD, address_key__in=keys), at)
    rows.update(state_before_removal=F("state"), state=Mailbox.State.REMOVED, removed_at=at, address_key=KEY_GIVEN_BACK)
    _end_accounts(keys.values(), keys, at)


def _mark_aliases(aliases: QuerySet[Alias], at: datetime) -> None:
    aliases.filter(removed_at=None).update(removed_at=at, address_key=KEY_GIVEN_BACK)


def _end_ways_to(address: Address, domain: Domain, at: datetime) -> None:
    """Ends what leads to the address, and who may send as it: the next who has it is somebody else."""
    led = leading_to(address, domain)
    AliasTarget.objects.filter(led, removed_at=None, alias__removed_at=None).update(removed_at=at)
    SendAs.objects.filter(led).delete()
    throttle.forget_account(address.key)


def _end_accounts(user_ids: Iterable[int], removed_keys: Collection[str], at: datetime) -> None:
    """Removes those of the accounts that have no mailbox any more; the others give up a name that is removed."""
    users = User.objects.filter(pk__in=set(user_ids))
    users = users.annotate(lives=Exists(Mailbox.objects.filter(LIVE, user=OuterRef("pk")))).filter(is_superuser=False)
    named = Q(address_key__in=removed_keys)
    ended = list(users.filter(lives=False).filter(Q(is_staff=False) | named).values_list("pk", flat=True))
    for user in users.filter(named, lives=True):
        _name_otherwise(user)
    Credential.objects.filter(user__in=ended, revoked_at=None).update(revoked_at=at)
    SendAs.objects.filter(user__in=ended).delete()
    User.administered_domains.through.objects.filter(user__in=ended).delete()
    User.objects.filter(pk__in=ended).update(
        removed_at=at,
        is_staff=False,
        address_key=KEY_GIVEN_BACK,
        # No session of before is one when it is restored.
        credential_version=F("credential_version") + 1,
    )


def _name_otherwise(user: User) -> None:
    """Names the account for another of its mailboxes, by which it could sign in anyway."""
    others = Mailbox.objects.filter(LIVE, user=user).order_by("pk")
    taken = User.objects.filter(address_key=OuterRef("address_key"))
    if other := others.exclude(Exists(taken)).first():
        User.objects.filter(pk=user.pk).update(email=other.address, address_key=other.address_key)
    else:
        User.objects.filter(pk=user.pk).update(address_key=KEY_GIVEN_BACK)
