"""App passwords: made, listed and voided. What one looks like, and under what it is kept: app_password.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from mailsuite.access import app_password
from mailsuite.directory import account_events
from mailsuite.directory.account_events import ADMINISTRATOR
from mailsuite.directory.models import Credential
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused

SCOPES = ("smtp", "imap", "pop3")


@dataclass(frozen=True, slots=True)
class NewAppPassword:
    """`password` exists nowhere else: show it now."""

    credential_id: int
    password: str


def add_app_password(
    user_id: int,
    label: str,
    *,
    scopes: Sequence[str] = SCOPES,
    expires_at: datetime | None = None,
    by: str = ADMINISTRATOR,
    client_address: str = "",
) -> NewAppPassword:
    """Makes an app password for the protocols named in `scopes`. `by` tells the owner who did it, and from where."""
    chosen = [scope for scope in SCOPES if scope in scopes]
    if not chosen or set(scopes) - set(SCOPES):
        raise ChangeRefused(f"An app password is for one or more of {', '.join(SCOPES)}: choose.")
    if not label.strip():
        raise ChangeRefused("Name the device or program that the app password is for.")
    password = app_password.generate()
    with transaction.atomic():
        row = Credential.objects.create(
            user_id=user_id,
            label=label.strip()[:100],
            digest=app_password.digests(password)[0],
            scopes=" ".join(chosen),
            expires_at=expires_at,
        )
        account_events.app_password_made(user_id, row.label, row.scopes, by, client_address)
        touch_directory()
    return NewAppPassword(row.pk, password)


def revoke_app_password(credential_id: int) -> None:
    """Voids it; sessions that it opened end within seconds."""
    with transaction.atomic():
        Credential.objects.filter(pk=credential_id, revoked_at=None).update(revoked_at=Now())
        touch_directory()


def app_passwords_in_force(user_id: int) -> QuerySet[Credential]:
    """The account's app passwords that still open something."""
    holds = Q(expires_at=None) | Q(expires_at__gt=Now())
    return Credential.objects.filter(holds, user=user_id, revoked_at=None)


def revoke_all_app_passwords(user_id: int) -> int:
    """Voids all of the account's, which a new account password does not; returns how many."""
    with transaction.atomic():
        count = app_passwords_in_force(user_id).update(revoked_at=Now())
        touch_directory()
    return count
