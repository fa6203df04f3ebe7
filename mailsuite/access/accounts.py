"""What a login needs to know of an account, remembered per process while the directory's version stays the same."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q

from mailsuite.directory.cache import CACHE
from mailsuite.directory.models import Credential, Domain, Mailbox, User
from mailsuite.mail.address import Address, AddressError, parse_address


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and the mailbox that the name they gave opens. `address_key` is what failures are counted under."""

    user_id: int
    address_key: str
    password_hash: str
    credential_version: int
    is_active: bool
    is_staff: bool
    mailbox_id: int | None = None
    address: str = ""
    quota_octets: int = 0
    is_suspended: bool = False
    domain_disabled: bool = False

    def refusal(self, *, needs_mailbox: bool) -> str:
        """Why somebody who knows the password is not let in; "" when they are."""
        if not self.is_active:
            return "disabled"
        if self.is_staff and not needs_mailbox:
            return ""
        if self.mailbox_id is None:
            return "no-mailbox"
        if self.domain_disabled:
            return "disabled"
        return "suspended" if self.is_suspended else ""


@dataclass(frozen=True, slots=True)
class AppPassword:
    credential_id: int
    scopes: frozenset[str]
    expires_at: datetime | None


def find(name: str) -> Account | None:
    """The account that `name` (any form of its address) signs in to."""
    try:
        address = parse_address(name.strip())
    except AddressError:
        return None
    return CACHE.get(("account", address.key), lambda: _find(address), is_unknown=lambda found: found is None)


def key_of(name: str) -> str:
    """What failures under a name that nobody has are counted under."""
    try:
        return parse_address(name.strip()).key
    except AddressError:
        return "".join(character for character in name[:100].casefold() if character.isprintable())


def app_password(user_id: int, digests: list[str], now: datetime) -> AppPassword | None:
    """The user's app password of one of the digests, when it holds now."""
    found = CACHE.get(
        ("app-password", user_id, digests[0]),
        lambda: _app_password(user_id, digests),
        is_unknown=lambda found: found is None,
    )
    return found if found and (found.expires_at is None or found.expires_at > now) else None


def still_holds(
    user_id: int | None, mailbox_id: int | None, credential_version: int, credential_id: int | None, now: datetime
) -> bool:
    """Whether what a session was opened with is still in force."""
    if user_id is None:
        return False
    users = User.objects.using("reader").filter(removed_at=None, is_active=True)
    user = users.filter(pk=user_id, credential_version=credential_version)
    if mailbox_id is not None:
        user = user.filter(
            mailboxes=mailbox_id,
            mailboxes__state=Mailbox.State.ACTIVE,
            mailboxes__domain__state=Domain.State.ACTIVE,
        )
    if credential_id is not None:
        holds = Q(credentials__expires_at=None) | Q(credentials__expires_at__gt=now)
        user = user.filter(holds, credentials=credential_id, credentials__revoked_at=None)
    return user.exists()


def _find(address: Address) -> Account | None:
    hosted = Domain.objects.using("reader").exclude(state=Domain.State.REMOVED)
    domain = hosted.filter(name=address.domain).select_related("alias_of").first()
    if domain is not None and domain.alias_of is not None and domain.state == Domain.State.ACTIVE:
        address = Address(address.local_part, domain.alias_of.name)
    live = Mailbox.objects.using("reader").exclude(state=Mailbox.State.REMOVED).select_related("user", "domain")
    mailbox = live.filter(address_key=address.key).first()
    user = mailbox.user if mailbox else User.objects.using("reader").filter(address_key=address.key).first()
    if user is None:
        return None
    if mailbox is None:
        # An administrator whose account is named for the host reads mail of a mailbox by another name.
        mailbox = live.filter(user=user, state=Mailbox.State.ACTIVE).order_by("pk").first()
    return _account(user, address.key, mailbox)


def _account(user: User, key: str, mailbox: Mailbox | None) -> Account:
    account = Account(user.pk, key, user.password, user.credential_version, user.is_active, user.is_staff)
    if mailbox is None:
        return account
    return replace(
        account,
        mailbox_id=mailbox.pk,
        address=mailbox.address,
        quota_octets=mailbox.quota_octets,
        is_suspended=mailbox.state == Mailbox.State.SUSPENDED,
        domain_disabled=mailbox.domain.state != Domain.State.ACTIVE,
    )


def _app_password(user_id: int, digests: list[str]) -> AppPassword | None:
    rows = Credential.objects.using("reader").filter(user_id=user_id, digest__in=digests, revoked_at=None)
    row = rows.first()
    return AppPassword(row.pk, frozenset(row.scopes.split()), row.expires_at) if row else None
