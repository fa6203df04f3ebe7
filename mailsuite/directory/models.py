"""Who receives mail here and who may send as whom.

Addresses are found by `address_key` (NFC, case-folded local-part, A-label domain) beside what was typed, because
the databases compare text differently. A key is unique over mailboxes and aliases together; services see to that.

What is removed stays for KEPT_REMOVED and can be restored. Its key is given back at once (`removed:ID`), since whoever
gets the address next is somebody else. What was removed together has the same `removed_at`, and comes back together.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac

from mailsuite.database.guard import MailHolder, UndeletedQuerySet
from mailsuite.directory.signals import password_saved
from mailsuite.directory.version import touch_directory
from mailsuite.mail.address import address_key

KEPT_REMOVED = timedelta(days=30)


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        """The account that signs in by that address, in any form of it."""
        return self.get(address_key=address_key(username or ""))

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        """Makes an account. Raises ValidationError when there is one of that address."""
        user = self.model(email=email, address_key=address_key(email), **fields)
        if self.filter(address_key=user.address_key).exists():
            raise ValidationError(f"There is an account {email} already.")
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        """Makes an account that may do everything."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in: may own mailboxes, may administer domains. Removed with the last mailbox."""

    # Not unique, since one that was removed keeps its name: the key is.
    email = models.CharField("e-mail address", max_length=320)
    address_key = models.CharField(max_length=320, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField("may open the admin", default=False)
    # Counted up by every change of the password: logins remembered under an older version are void.
    credential_version = models.PositiveIntegerField(default=1, editable=False)
    # Somebody else knows the password: the web lets its owner do nothing but choose another.
    must_change_password = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    _has_new_password = False

    USERNAME_FIELD = "email"
    objects = UserManager()

    class Meta:
        verbose_name = "account"

    def __str__(self) -> str:
        return self.email

    def set_password(self, raw_password: str | None) -> None:
        """Sets it, and voids the logins that were remembered under the one before."""
        super().set_password(raw_password)
        if self.pk:
            self.credential_version += 1
            self.must_change_password = False
            self._has_new_password = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Django's own forms and commands (createsuperuser, the admin's password page) save accounts past our services:
        whoever remembers the account has to hear of it."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            if self._has_new_password:
                password_saved.send(type(self), user_id=self.pk)
                self._has_new_password = False
            if list(kwargs.get("update_fields") or ()) != ["last_login"]:
                touch_directory()

    def get_session_auth_hash(self) -> str:
        """What a session of the web holds: another one once the logins of before are void."""
        return self._session_hash()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same under the secrets of before."""
        yield from map(self._session_hash, settings.SECRET_KEY_FALLBACKS)

    def _session_hash(self, secret: str | None = None) -> str:
        told = f"{self.credential_version} {self.password}"
        return salted_hmac("mailsuite.directory.session", told, secret=secret, algorithm="sha256").hexdigest()

    def get_full_name(self) -> str:
        """What the account is called."""
        return self.name or self.email

    def get_short_name(self) -> str:
        """The same where there is little room."""
        return self.name or self.email


class Domain(MailHolder):
    """A domain whose mail we take. `name` is the A-label form, `alias_of` makes it another name of a domain."""

    change_by = "mailsuite.provisioning.services.remove_domain()"

    class State(models.TextChoices):
        ACTIVE = "active"
        DISABLED = "disabled"
        REMOVED = "removed"

    # Unique among those that are not removed: a domain that is hosted anew is another one.
    name = models.CharField(max_length=253, db_index=True)
    alias_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="domain_aliases")
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    description = models.CharField(max_length=200, blank=True)
    default_quota_octets = models.PositiveBigIntegerField("default quota in octets, 0 for none", default=0)
    administrators = models.ManyToManyField(User, blank=True, related_name="administered_domains")
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)
    state_before_removal = models.CharField(max_length=10, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=~Q(state="removed"), name="hosted_domain_once")
        ]

    def __str__(self) -> str:
        return self.name


class Mailbox(MailHolder):
    """An address that receives (RFC 5321 §2.3.11). What it uses of its quota is the store's to know."""

    change_by = "mailsuite.provisioning.services.remove_mailbox()"

    class State(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        REMOVED = "removed"

    domain = models.ForeignKey(Domain, models.PROTECT, related_name="mailboxes")
    user = models.ForeignKey(User, models.PROTECT, related_name="mailboxes")
    address = models.CharField(max_length=320)
    address_key = models.CharField(max_length=320, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    quota_octets = models.PositiveBigIntegerField("quota in octets, 0 for none", default=0)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)
    state_before_removal = models.CharField(max_length=10, blank=True, editable=False)

    class Meta:
        ordering = ["address_key"]
        verbose_name_plural = "mailboxes"

    def __str__(self) -> str:
        return self.address


class Alias(models.Model):
    """An address, a whole domain (catch-all) or a pattern whose mail goes to other addresses, here or elsewhere.

    A `forward` has the address of a mailbox, whose mail it sends on; its own address among the targets stands for the
    copy that the mailbox keeps."""

    class Kind(models.TextChoices):
        ADDRESS = "address"
        CATCH_ALL = "catch-all"
        PATTERN = "pattern"
        FORWARD = "forward"

    domain = models.ForeignKey(Domain, models.PROTECT, related_name="aliases")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ADDRESS)
    # `sales@example.org`, `@example.org` for the catch-all, `sales-*@example.org` for a pattern.
    address = models.CharField(max_length=320)
    address_key = models.CharField(max_length=320, unique=True, editable=False)
    is_active = models.BooleanField("in use", default=True)
    members_may_send = models.BooleanField(
        "members may send as this address", default=True, help_text="Owners of the target mailboxes may use it as From."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["address_key"]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.address


class AliasTarget(models.Model):
    """Where an alias leads. One whose mailbox or alias was removed leads nowhere until that is restored."""

    alias = models.ForeignKey(Alias, models.CASCADE, related_name="targets")
    address = models.CharField(max_length=320)
    address_key = models.CharField(max_length=320, editable=False, db_index=True)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["alias", "address_key"], name="alias_target_once")]

    def __str__(self) -> str:
        return self.address


class RemovedManager(models.Manager.from_queryset(UndeletedQuerySet)):  # type: ignore[misc]
    """The rows that are removed."""

    def get_queryset(self) -> models.QuerySet[Any]:
        """The rows that are removed and not deleted yet."""
        return super().get_queryset().exclude(removed_at=None)  # type: ignore[no-any-return]


class RemovedDomain(Domain):
    """A domain that can be restored: a list of its own in the admin."""

    objects: ClassVar[Any] = RemovedManager()

    class Meta:
        proxy = True


class RemovedMailbox(Mailbox):
    """The same of a mailbox."""

    objects: ClassVar[Any] = RemovedManager()

    class Meta:
        proxy = True
        verbose_name_plural = "removed mailboxes"


class RemovedAlias(Alias):
    """The same of an alias."""

    objects: ClassVar[Any] = RemovedManager()

    class Meta:
        proxy = True
        verbose_name_plural = "removed aliases"


class SendAs(models.Model):
    """A user's permission to send as an address or, as `@example.org`, as anyone of a domain."""

    user = models.ForeignKey(User, models.CASCADE, related_name="send_as")
    address = models.CharField(max_length=320)
    address_key = models.CharField(max_length=320, editable=False)

    class Meta:
        verbose_name = "permission to send as"
        verbose_name_plural = "permissions to send as"
        constraints = [models.UniqueConstraint(fields=["user", "address_key"], name="send_as_once")]

    def __str__(self) -> str:
        return f"{self.user} as {self.address}"


class Credential(models.Model):
    """An app password: long, random, for protocols only; found by one keyed hash of it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="credentials", verbose_name="account")
    label = models.CharField("for", max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.CharField("good for", max_length=50, default="smtp imap pop3")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField("ends", null=True, blank=True)
    last_used_at = models.DateTimeField("last used", null=True, blank=True)
    revoked_at = models.DateTimeField("revoked", null=True, blank=True)

    class Meta:
        verbose_name = "app password"

    def __str__(self) -> str:
        return self.label


class Login(models.Model):
    """One login, or one failed attempt, over any protocol or the web."""

    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="logins")
    address_key = models.CharField(max_length=320)
    at = models.DateTimeField(db_index=True)
    protocol = models.CharField(max_length=12)
    client_address = models.CharField("from", max_length=45)
    succeeded = models.BooleanField()
    reason = models.CharField(max_length=40, blank=True)
    # Equal attempts within a minute are one row: an attack must not fill the table.
    times = models.PositiveIntegerField(default=1)

    class Meta:
        indexes = [models.Index(fields=["user", "-at"], name="login_recent")]

    def __str__(self) -> str:
        return f"{self.address_key} by {self.protocol} from {self.client_address}"


class LoginThrottle(models.Model):
    """Failed logins of one key (`net:192.0.2.0/24 account`, `net:…`, `account:…`) and until when it must wait."""

    key = models.CharField(max_length=400, unique=True)
    failures = models.PositiveIntegerField(default=0)
    window_started_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "throttled login"

    def __str__(self) -> str:
        """Its key in words."""
        kind, _, rest = self.key.partition(":")
        if kind == "account":
            return f"{rest}, from anywhere"
        client, _, account = rest.partition(" ")
        return f"{account}, from {client}" if account else f"any account, from {client}"


class KnownNetwork(models.Model):
    """A network from which an account was signed in to (account_events.py)."""

    user = models.ForeignKey(User, models.CASCADE, related_name="known_networks")
    network = models.CharField(max_length=43)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "network"], name="known_network_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.network}"


class AccountEvent(models.Model):
    """What happened to an account, until and after its owner is told. `by` says who did it, as the mail has it;
    `story_id` is the id of the mail that tells it, from before that is filed."""

    class Kind(models.TextChoices):
        PASSWORD = "password"
        APP_PASSWORD = "app-password"
        SIGN_IN = "sign-in"
        DELIVERY = "delivery"

    user = models.ForeignKey(User, models.CASCADE, related_name="account_events")
    kind = models.CharField(max_length=12, choices=Kind)
    at = models.DateTimeField()
    what = models.CharField(max_length=1000, blank=True)
    by = models.CharField(max_length=320, blank=True)
    client_address = models.CharField(max_length=45, blank=True)
    story_id = models.BigIntegerField(null=True, db_index=True)
    told_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["user", "-at"], name="account_event_recent"),
            models.Index(fields=["user"], name="account_event_waiting", condition=Q(told_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.user}"


class Change(models.Model):
    """What somebody did to a row, of any app: by a form or a button of the admin, the owner's pages or the shell. `by`
    says who, as people know them; the row is named by its model's label and its id, and outlived."""

    at = models.DateTimeField()
    by = models.CharField(max_length=320)
    model = models.CharField(max_length=100)
    object_id = models.CharField(max_length=64)
    object_text = models.CharField(max_length=320)
    what = models.CharField(max_length=1000)

    class Meta:
        indexes = [
            models.Index(fields=["model", "object_id", "-id"], name="change_of_row"),
            models.Index(fields=["at"], name="change_at"),
        ]

    def __str__(self) -> str:
        return f"{self.object_text}: {self.what}"


class DirectoryVersion(models.Model):
    """One row, changed in the transaction of every change above (version.py): caches of the directory live by it."""

    version = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="directory_version_single_row")]

    def __str__(self) -> str:
        return str(self.version)
