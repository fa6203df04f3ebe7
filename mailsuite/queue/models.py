"""What waits to go to other hosts. A message and its recipients are separate; state is per recipient."""

from django.db import models

from mailsuite.database.guard import StoreOwned
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.ids import new_id, reference
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.store.models import Content


class QueuedMessage(StoreOwned):
    """One envelope on its way out. What is sent is `prefix` (our Received field) and the Content's octets."""

    change_by = "mailsuite.queue.services.retry(), hold(), release(), fail() or drop()"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    content = models.ForeignKey(Content, models.PROTECT, related_name="queued")
    prefix = models.BinaryField(default=b"")
    size_octets = models.BigIntegerField()
    story_id = models.BigIntegerField(null=True)
    sender_mailbox = models.ForeignKey(Mailbox, models.SET_NULL, null=True, related_name="+")
    domain = models.ForeignKey(Domain, models.SET_NULL, null=True, related_name="+")
    # As in mailsuite.mail.envelope; the reverse-path was rewritten by SRS when the mail is forwarded.
    reverse_path = models.CharField(max_length=320, blank=True)
    smtputf8 = models.BooleanField(default=False)
    eight_bit = models.BooleanField(default=False)
    require_tls = models.BooleanField(default=False)
    dsn_ret = models.CharField(max_length=4, blank=True)
    dsn_envid = models.CharField(max_length=100, blank=True)
    hold_until = models.DateTimeField(null=True)
    expires_at = models.DateTimeField("given up at")
    priority = models.SmallIntegerField(default=0)
    created_at = models.DateTimeField("queued at")
    held_at = models.DateTimeField(null=True)
    hold_reason = models.CharField("held because", max_length=200, blank=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["settled_at", "created_at"], name="queued_open"),
            # Strangers have it asked how much is kept for a domain.
            models.Index(
                fields=["domain"], name="queued_held", condition=models.Q(settled_at=None, held_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """The queue id that people see."""
        return reference(self.pk)

    @property
    def envelope(self) -> Envelope:
        """What stands in the columns of its name."""
        return Envelope(**{name: getattr(self, name) for name in Envelope.__struct_fields__})


class QueuedRecipient(StoreOwned):
    """One recipient. It is due when `next_attempt_at` is past; a claim moves that to the end of its lease."""

    change_by = "mailsuite.queue.services.retry(), hold(), release(), fail() or drop()"

    class State(models.TextChoices):
        QUEUED = "queued"
        DELIVERED = "delivered"
        RELAYED = "relayed"
        FAILED = "failed"
        DROPPED = "dropped"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    message = models.ForeignKey(QueuedMessage, models.CASCADE, related_name="recipients")
    # As in mailsuite.mail.envelope.
    forward_path = models.CharField("recipient", max_length=320)
    dsn_notify = models.CharField(max_length=40, blank=True)
    dsn_orcpt = models.CharField(max_length=500, blank=True)
    destination = models.CharField(max_length=255)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    next_attempt_at = models.DateTimeField("next try", null=True)
    claim_token = models.CharField(max_length=36, blank=True)
    attempt_count = models.PositiveIntegerField("tries", default=0)
    last_reply = models.TextField(blank=True)
    last_host = models.CharField(max_length=255, blank=True)
    # Why the last try did not deliver it: one word, as in its story.
    cause = models.CharField(max_length=40, blank=True, default="")
    warned_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_attempt_at"], name="recipient_due", condition=models.Q(settled_at=None)),
            models.Index(
                fields=["next_attempt_at"],
                name="recipient_fresh",
                condition=models.Q(settled_at=None, attempt_count=0),
            ),
            models.Index(fields=["destination", "next_attempt_at"], name="recipient_by_destination"),
        ]

    def __str__(self) -> str:
        return self.forward_path

    @property
    def envelope_recipient(self) -> EnvelopeRecipient:
        """What stands in the columns of its name."""
        return EnvelopeRecipient(**{name: getattr(self, name) for name in EnvelopeRecipient.__struct_fields__})


class DeliveryAttempt(StoreOwned):
    """One try at one recipient: recorded before the peer is dialled, completed with its words."""

    change_by = "mailsuite.queue.services.retry(), hold(), release(), fail() or drop()"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    recipient = models.ForeignKey(QueuedRecipient, models.CASCADE, related_name="attempts")
    token = models.CharField(max_length=36)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    remote_host = models.CharField("host", max_length=255, blank=True)
    remote_address = models.CharField("host's address", max_length=45, blank=True)
    tls = models.CharField("TLS", max_length=100, blank=True)
    outcome = models.CharField(max_length=10, blank=True)
    code = models.PositiveSmallIntegerField("reply code", null=True)
    enhanced_code = models.CharField("status code", max_length=12, blank=True)
    reply = models.TextField(blank=True)
    dialog = models.TextField("what was said", blank=True)

    class Meta:
        ordering = ["started_at"]

    def __str__(self) -> str:
        return f"{self.remote_host or 'no host'}: {self.reply[:60]}"


class Route(models.Model):
    """Where mail for a pattern of domains goes instead of to its MX: `example.org`, `*.example.org` or `*`."""

    class Scheme(models.TextChoices):
        SMTP = "smtp", "SMTP, STARTTLS when offered"
        SMTP_STARTTLS = "smtp+starttls", "SMTP, STARTTLS required"
        SMTPS = "smtps", "implicit TLS"

    pattern = models.CharField("mail for", max_length=255, unique=True)
    scheme = models.CharField("encryption", max_length=15, choices=Scheme, default=Scheme.SMTP)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=25)
    username = models.CharField("user name", max_length=320, blank=True)
    password = models.TextField(blank=True, editable=False, help_text="Encrypted by the root secret.")
    is_active = models.BooleanField("in use", default=True)

    class Meta:
        ordering = ["pattern"]

    def __str__(self) -> str:
        return f"{self.pattern} by {self.scheme}://{self.host}:{self.port}"
