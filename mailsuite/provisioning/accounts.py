"""Accounts that administrators make and change by themselves, mailbox or not."""

from django.db import transaction

from mailsuite.directory import account_events, parsing
from mailsuite.directory.account_events import ADMINISTRATOR
from mailsuite.directory.models import User
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused


def add_account(
    email: str,
    password_hash: str,
    *,
    name: str = "",
    is_staff: bool = False,
    is_superuser: bool = False,
    must_change: bool = False,
) -> int:
    """Makes an account that signs in to the web; returns its id. A superuser always may open the admin."""
    address = parsing.address(email)
    with transaction.atomic():
        if User.objects.filter(address_key=address.key).exists():
            raise ChangeRefused(f"There is an account {address} already.")
        user = User.objects.create(
            email=str(address),
            address_key=address.key,
            name=name,
            password=password_hash,
            must_change_password=must_change,
            is_staff=is_staff or is_superuser,
            is_superuser=is_superuser,
        )
        touch_directory()
    return user.pk


def change_account(
    user_id: int,
    *,
    name: str,
    is_active: bool,
    is_staff: bool,
    is_superuser: bool,
    password_hash: str = "",
    must_change: bool = False,
    by: str = ADMINISTRATOR,
) -> None:
    """Changes an account; a new password ends its sessions. One superuser who can sign in always remains."""
    with transaction.atomic():
        user = User.objects.get(pk=user_id)
        others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user_id)
        if user.is_superuser and not (is_superuser and is_active) and not others.exists():
            raise ChangeRefused(f"{user} is the last superuser: make another one first.")
        user.name, user.is_active, user.is_superuser = name, is_active, is_superuser
        user.is_staff = is_staff or is_superuser
        if password_hash:
            user.password, user.must_change_password = password_hash, must_change
            user.credential_version += 1
        user.save()
        if password_hash:
            account_events.password_changed(user.pk, by)
        touch_directory()
