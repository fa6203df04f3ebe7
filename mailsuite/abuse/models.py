"""How much our own mailboxes may send, what alarms were raised, and who is told."""

from django.db import models
from django.db.models import Q

from mailsuite.directory.models import Mailbox


class SendingSettings(models.Model):
    """One row, with the id 1: what a mailbox may send in a day (UTC). 0 is no cap."""

    MESSAGES, NEW_RECIPIENTS = 1000, 500

    messages_a_day = models.PositiveIntegerField(
        "messages a day", default=MESSAGES, help_text="What goes beyond is held in the queue; 0 for no cap."
    )
    new_recipients_a_day = models.PositiveIntegerField(
        "new recipients a day",
        default=NEW_RECIPIENTS,
        help_text="Addresses elsewhere that the mailbox never wrote to before; 0 for no cap.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "sending caps"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="sending_settings_single_row")]

    def __str__(self) -> str:
        return "Sending caps"


class SendingCap(models.Model):
    """A mailbox's own caps, in place of the site's; 0 is none."""

    mailbox = models.OneToOneField(Mailbox, models.CASCADE, related_name="sending_cap")
    messages_a_day = models.PositiveIntegerField("messages a day", default=SendingSettings.MESSAGES)
    new_recipients_a_day = models.PositiveIntegerField("new recipients a day", default=SendingSettings.NEW_RECIPIENTS)

    class Meta:
        ordering = ["mailbox"]
        verbose_name = "mailbox's own caps"
        verbose_name_plural = "mailboxes' own caps"

    def __str__(self) -> str:
        return str(self.mailbox)


class SendingDay(models.Model):
    """What a mailbox submitted on one day (UTC); counted by the store in the transaction that files it."""

    class Told(models.IntegerChoices):
        NOTHING = 0
        NEARLY = 1
        HELD = 2

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="sending_days", db_index=False)
    day = models.DateField(db_index=True)
    messages = models.PositiveIntegerField(default=0)
    new_recipients = models.PositiveIntegerField(default=0)
    # What its owner and the administrators were told.
    told = models.PositiveSmallIntegerField(choices=Told, default=Told.NOTHING)

    class Meta:
        verbose_name = "day of sending"
        verbose_name_plural = "days of sending"
        constraints = [models.UniqueConstraint(fields=["mailbox", "day"], name="sending_day_once")]

    def __str__(self) -> str:
        return f"{self.mailbox} on {self.day}"


class SentRecipient(models.Model):
    """Somebody elsewhere whom a mailbox wrote to: a 64-bit hash of the address key."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+", db_index=False)
    recipient = models.BigIntegerField()
    first_on = models.DateField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "recipient"], name="sent_recipient_once")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}: {self.recipient}"


class AlarmSettings(models.Model):
    """One row, with the id 1: who is told of alarms (mailsuite.abuse.telling)."""

    recipients = models.TextField(
        "addresses",
        blank=True,
        help_text="One a line; at least one on another host, so that it is read when this one has trouble. Empty: "
        "mailboxes of the administrators, else whoever postmaster@ leads to.",
    )

    # When something about the host itself was last told (mailsuite.abuse.host_alarms).
    certificate_told_at = models.DateTimeField(null=True, editable=False)
    disk_told_at = models.DateTimeField(null=True, editable=False)
    dane_told_at = models.DateTimeField(null=True, editable=False)
    blocklist_told_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "who is told"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="alarm_settings_single_row")]

    def __str__(self) -> str:
        return "Who is told"


class Alarm(models.Model):
    """Something that a stolen password would look like; of each kind one a day (UTC) for each mailbox."""

    class Kind(models.TextChoices):
        OVER_CAP = "over-cap", "is over its cap"
        MANY_NETWORKS = "many-networks", "was signed in to from many networks"
        BOUNCES = "bounces", "has much of its mail refused"
        VOLUME = "volume", "sends much more than before"

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="alarms", db_index=False)
    kind = models.CharField(max_length=15, choices=Kind)
    day = models.DateField()
    raised_at = models.DateTimeField()
    text = models.CharField("what was seen", max_length=300)
    dismissed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "kind", "day"], name="alarm_once")]
        indexes = [models.Index(fields=["raised_at"], name="alarm_open", condition=Q(dismissed_at=None))]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.get_kind_display()}"
