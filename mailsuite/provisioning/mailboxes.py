"""Mailboxes and the accounts of those who own them."""

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from mailsuite.access.password_rules import hash_password
from mailsuite.directory import account_events, parsing
from mailsuite.directory.account_events import ADMINISTRATOR
from mailsuite.directory.models import Alias, AliasTarget, Domain, Mailbox, User
from mailsuite.directory.resolution import ROLES
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import Address, AddressError, parse_address
from mailsuite.store.folders import prepare_mailbox


def add_mailbox(
    address: str,
    password: str = "",
    *,
    name: str = "",
    quota_octets: int | None = None,
    owner: str = "",
    weak_password_ok: bool = False,
    password_hash: str = "",
    must_change: bool = False,
) -> int:
    """Makes a mailbox with its first folders, and the account of that address when there is none; returns its id.

    Without a quota it gets its domain's. `owner` is the address of another account that shall own it. The account of
    an administrator keeps its password: give none then. With `must_change` the web asks its owner for another one.
    """
    parsed = parsing.address(address)
    parsing.label(name, "name")
    owner_address = parsing.address(owner) if owner else parsed
    if password and not password_hash:
        parsing.own_domain(parsed.domain)  # hashing costs: first what is cheap
        password_hash = hash_password(password, email=str(parsed), name=name, weak_password_ok=weak_password_ok)
    with transaction.atomic():
        mailbox = write_mailbox(
            parsed, password_hash, name=name, quota_octets=quota_octets, owner=owner_address, must_change=must_change
        )
        touch_directory()
    return mailbox.pk


def write_mailbox(
    address: Address,
    password_hash: str,
    *,
    name: str = "",
    quota_octets: int | None = None,
    owner: Address,
    must_change: bool = False,
) -> Mailbox:
    """The rows of a new mailbox, in the caller's transaction, without a new version."""
    domain = parsing.own_domain(address.domain)
    refuse_taken(address)
    mailbox = Mailbox.objects.create(
        domain=domain,
        user=_account(owner, password_hash, name, must_change=must_change),
        address=str(address),
        address_key=address.key,
        name=name,
        quota_octets=domain.default_quota_octets if quota_octets is None else quota_octets,
    )
    prepare_mailbox(mailbox)
    if domain.mailboxes.exclude(state=Mailbox.State.REMOVED).count() == 1:
        _adopt_roles(domain, mailbox)
    return mailbox


def joins_account(address: str) -> bool:
    """Whether a mailbox of that address would be added to an account in use, which keeps its password."""
    return User.objects.filter(address_key=parsing.address(address).key, is_active=True).exists()


def change_mailbox(address: str, *, name: str | None = None, quota_octets: int | None = None) -> None:
    """Changes what is given; a quota of 0 is none."""
    with transaction.atomic():
        mailbox = parsing.live_mailbox(address)
        if name is not None:
            mailbox.name = parsing.label(name, "name")
        if quota_octets is not None:
            mailbox.quota_octets = quota_octets
        mailbox.save(update_fields=["name", "quota_octets"])
        touch_directory()


def set_password(address: str, password: str, *, weak_password_ok: bool = False, must_change: bool = False) -> None:
    """Sets the password of the account that owns the mailbox, or that has the address; ends its sessions."""
    key = parsing.address(address).key
    mailbox = Mailbox.objects.filter(address_key=key).select_related("user").first()
    user = mailbox.user if mailbox else User.objects.filter(address_key=key).first()
    if user is None:
        raise ChangeRefused(f"There is no mailbox and no account {address}. The list is: manage.py mailbox list")
    hashed = hash_password(password, email=user.email, name=user.name, weak_password_ok=weak_password_ok)
    set_user_password(user.pk, hashed, must_change=must_change)


def set_user_password(
    user_id: int,
    password_hash: str,
    *,
    must_change: bool = False,
    by: str = ADMINISTRATOR,
    client_address: str = "",
) -> None:
    """Sets an account's password, ready hashed. What was remembered of logins under the old one is void. `must_change`
    when somebody else than the owner knows it: the web asks for another one first, mail programs can use it. `by` tells
    the owner who did it, and from where."""
    with transaction.atomic():
        User.objects.filter(pk=user_id).update(
            password=password_hash,
            must_change_password=must_change,
            credential_version=F("credential_version") + 1,
        )
        account_events.password_changed(user_id, by, client_address)
        touch_directory()


def suspend_mailbox(address: str) -> None:
    """Refuses its logins, and ends its sessions within seconds; its mail is still taken."""
    _set_state(address, Mailbox.State.SUSPENDED)


def resume_mailbox(address: str) -> None:
    """Lets a suspended mailbox sign in again; mail of it that is held stays held."""
    _set_state(address, Mailbox.State.ACTIVE)


def _set_state(address: str, state: str) -> None:
    with transaction.atomic():
        mailbox = parsing.live_mailbox(address)
        mailbox.state = state
        mailbox.save(update_fields=["state"])
        touch_directory()


def refuse_taken(address: Address) -> None:
    """Raises ChangeRefused when a mailbox or alias has the address; its domain's own role alias gives way."""
    if Mailbox.objects.filter(address_key=address.key).exists():
        raise ChangeRefused(f"The mailbox {address} is there already.")
    alias = Alias.objects.filter(address_key=address.key).first()
    if alias is None:
        return
    # The domain's own postmaster@ and abuse@ give way to a mailbox that somebody wants of that name.
    if address.local_part.lower() in ROLES and not alias.targets.exclude(address_key__in=_administrators()).exists():
        alias.delete()
    else:
        raise ChangeRefused(f"{address} is an alias: remove it first with manage.py alias remove {address}")


def _administrators() -> list[str]:
    return list(User.objects.filter(is_superuser=True).values_list("address_key", flat=True))


def _account(address: Address, password_hash: str, name: str, *, must_change: bool) -> User:
    """The account of that address; made when there is none. One that was removed has given its address back: who gets
    it next is somebody else."""
    user = User.objects.filter(address_key=address.key).first()
    if user is None:
        if not password_hash:
            raise ChangeRefused(f"A new account {address} needs a password.")
        return User.objects.create(
            email=str(address),
            address_key=address.key,
            name=name,
            password=password_hash,
            must_change_password=must_change,
        )
    if not user.is_active:
        raise ChangeRefused(f"The account {address} is switched off: make it active again first.")
    if user.is_staff and password_hash:
        raise ChangeRefused(f"{address} is an administrator's account and keeps its password: give none.")
    if password_hash:
        if not user.mailboxes.exclude(state=Mailbox.State.REMOVED).exists():
            # Who is given the name need not be who had it: what else opened the account opens no mailbox of theirs.
            user.credentials.filter(revoked_at=None).update(revoked_at=timezone.now())
            user.send_as.all().delete()
        user.password, user.must_change_password = password_hash, must_change
        user.credential_version += 1
        user.save(update_fields=["password", "must_change_password", "credential_version"])
        account_events.password_changed(user.pk, ADMINISTRATOR)
    return user


def _adopt_roles(domain: Domain, mailbox: Mailbox) -> None:
    """Has the first mailbox of a domain read postmaster@ and abuse@, where they lead to nobody yet.

    The first administrator's account is named for the host (admin@HOSTNAME), where there may be no mailbox."""
    for target in AliasTarget.objects.filter(alias__domain=domain).select_related("alias"):
        local_part = target.alias.address_key.rpartition("@")[0]
        if local_part in ROLES and _is_nobody(target.address):
            AliasTarget.objects.filter(pk=target.pk).update(address=mailbox.address, address_key=mailbox.address_key)


def _is_nobody(address: str) -> bool:
    """Whether the address is at this host's own name, and no mailbox or alias."""
    try:
        parsed = parse_address(address)
    except AddressError:
        return True
    if parsed.domain != settings.MAILSUITE.hostname:
        return False
    return not (
        Mailbox.objects.filter(address_key=parsed.key).exists() or Alias.objects.filter(address_key=parsed.key).exists()
    )
