"""What an owner's pages show of their account, as plain values."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from mailsuite.directory.models import Credential, Domain, Login, Mailbox, User
from mailsuite.store.models import Usage

LOGINS_SHOWN = 50
LOGINS_FROM = timedelta(days=30)

_PROTOCOLS = {
    "web": "Web page",
    "smtp": "Sending (SMTP)",
    "imap": "Reading (IMAP)",
    "pop3": "Reading (POP3)",
}
_OUTCOMES = {
    "": "Signed in",
    "wrong-credentials": "Wrong password",
    "too-many-failures": "Refused: too many wrong passwords",
    "suspended": "Refused: the mailbox is suspended",
    "disabled": "Refused: switched off",
    "not-allowed": "Refused: that app password is not for this",
    "no-mailbox": "Refused: no mailbox",
}


@dataclass(frozen=True, slots=True)
class MailboxView:
    """A mailbox and what it holds. A `quota_octets` of 0 is none; suspended is one too whose domain is switched off."""

    mailbox_id: int
    address: str
    name: str
    is_suspended: bool
    used_octets: int
    quota_octets: int
    message_count: int

    @property
    def percent(self) -> int:
        """How much of the quota is used, rounded; 0 where there is none."""
        return round(100 * self.used_octets / self.quota_octets) if self.quota_octets else 0

    @property
    def level(self) -> str:
        """How urgent it is: ok, high or full."""
        if not self.quota_octets or self.percent < 80:
            return "ok"
        return "full" if self.percent >= 95 else "high"


@dataclass(frozen=True, slots=True)
class LoginView:
    at: datetime
    protocol: str
    client_address: str
    succeeded: bool
    outcome: str
    times: int


@dataclass(frozen=True, slots=True)
class AppPasswordView:
    """An app password without its secret; `scopes` as people read them."""

    credential_id: int
    label: str
    scopes: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


def may_sign_in(user: User) -> bool:
    """Whether the account still opens these pages: an administrator's, or one with a mailbox in use."""
    if not user.is_active:
        return False
    live = Mailbox.objects.using("reader").filter(user=user, state=Mailbox.State.ACTIVE)
    return user.is_staff or live.filter(domain__state=Domain.State.ACTIVE).exists()


def mailboxes_of(user: User) -> list[MailboxView]:
    """The account's mailboxes but for those that were removed, each with what it holds."""
    kept = Mailbox.objects.using("reader").filter(user=user).exclude(state=Mailbox.State.REMOVED)
    rows = list(kept.select_related("domain"))
    used = {usage.pk: usage for usage in Usage.objects.using("reader").filter(pk__in=[row.pk for row in rows])}
    return [_mailbox(row, used.get(row.pk)) for row in rows]


def mailbox_of(user: User, mailbox_id: int) -> Mailbox | None:
    """The row of a mailbox in use, if it is this user's."""
    live = Mailbox.objects.using("reader").filter(user=user, state=Mailbox.State.ACTIVE)
    return live.filter(pk=mailbox_id, domain__state=Domain.State.ACTIVE).first()


def logins_of(user: User, now: datetime | None = None) -> list[LoginView]:
    """The latest logins and failures, newest first, those refused before anybody looked up the account included."""
    since = (now or datetime.now(UTC)) - LOGINS_FROM
    keys = [user.address_key, *Mailbox.objects.using("reader").filter(user=user).values_list("address_key", flat=True)]
    # What was tried under the name before the account was made was meant for somebody else.
    theirs = Q(user=user) | Q(user=None, address_key__in=keys, at__gte=user.created_at)
    rows = Login.objects.using("reader").filter(theirs, at__gt=since).order_by("-at")[:LOGINS_SHOWN]
    return [_login(row) for row in rows]


def app_passwords_of(user: User, now: datetime | None = None) -> list[AppPasswordView]:
    """Those that are in force, the newest first."""
    valid = Q(expires_at=None) | Q(expires_at__gt=now or datetime.now(UTC))
    rows = Credential.objects.using("reader").filter(valid, user=user, revoked_at=None).order_by("-pk")
    return [_app_password(row) for row in rows]


def _mailbox(row: Mailbox, usage: Usage | None) -> MailboxView:
    return MailboxView(
        row.pk,
        row.address,
        row.name,
        row.state == Mailbox.State.SUSPENDED or row.domain.state != Domain.State.ACTIVE,
        usage.used_octets if usage else 0,
        row.quota_octets,
        usage.message_count if usage else 0,
    )


def _app_password(row: Credential) -> AppPasswordView:
    scopes = ", ".join(scope.upper() for scope in ("imap", "pop3", "smtp") if scope in row.scopes.split())
    return AppPasswordView(row.pk, row.label, scopes, row.created_at, row.last_used_at, row.expires_at)


def _login(row: Login) -> LoginView:
    return LoginView(
        row.at,
        _PROTOCOLS.get(row.protocol, row.protocol.upper()),
        row.client_address or "unknown",
        row.succeeded,
        _OUTCOMES.get(row.reason, "Refused"),
        row.times,
    )
