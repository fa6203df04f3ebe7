"""What happened to each message: a Story is one reception (or refusal), an Event one thing that befell it since.

Both are written in the transaction of what they tell of. Searches start from an indexed key: the queue id (the
Story's id), a Message-ID, an address; ids ascend with time, so the newest come first without another index.
"""

from django.db import models

from mailsuite.directory.models import Domain, Mailbox
from mailsuite.ids import new_id, reference

# What a message that was made here tells, by its reason.
TOLD = {
    "failed": "tells its sender that mail failed",
    "delayed": "tells its sender that mail is delayed",
    "delivered": "tells its sender that mail was delivered",
    "relayed": "tells its sender that mail was handed on",
    "expanded": "tells its sender that mail went to a list",
    "quota": "tells that a mailbox is nearly full",
    "sending-caps": "tells of a mailbox near or over its caps",
    "alarm": "tells of an alarm",
    "account": "tells an owner what happened to the account",
    "dns-drift": "tells that DNS records got worse",
    "dmarc-report": "a DMARC report",
}


class Story(models.Model):
    class Kind(models.TextChoices):
        INBOUND = "inbound", "from another host"
        SUBMISSION = "submission", "from one of our users"
        NOTIFICATION = "notification", "made here"

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted"
        REFUSED = "refused"
        DEFERRED = "deferred"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    kind = models.CharField(max_length=12, choices=Kind)
    outcome = models.CharField(max_length=10, choices=Outcome)
    # The one word that is also in reply, log and metric.
    reason = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField()
    client_address = models.CharField(max_length=45, blank=True)
    client_name = models.CharField(max_length=255, blank=True)
    reverse_path = models.CharField(max_length=320, blank=True)
    sender_key = models.CharField(max_length=320, blank=True)
    sender_domain = models.ForeignKey(Domain, models.SET_NULL, null=True, related_name="+", db_constraint=False)
    sender_mailbox = models.ForeignKey(
        Mailbox, models.SET_NULL, null=True, related_name="+", db_constraint=False, db_index=False
    )
    from_text = models.CharField(max_length=500, blank=True)
    subject = models.CharField(max_length=500, blank=True)
    message_id = models.CharField(max_length=998, blank=True)
    size_octets = models.BigIntegerField(default=0)
    # JSON: listener, tls, authentication, checks, signing, the reply given.
    data = models.TextField(default="{}")

    class Meta:
        verbose_name = "message"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["message_id"], name="story_message_id", condition=~models.Q(message_id="")),
            models.Index(fields=["sender_key", "-id"], name="story_sender"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """The queue id that the reply to the client carried."""
        return reference(self.pk)

    @property
    def whose(self) -> str:
        """Whom a list names: the envelope sender; of a refusal that came before there was one the client."""
        if self.kind == self.Kind.NOTIFICATION and not self.reverse_path:
            return "this host"
        if self.outcome == self.Outcome.ACCEPTED or self.reverse_path:
            return self.reverse_path or "<>"
        return self.client_address or "<>"

    @property
    def what(self) -> str:
        """What a list calls it: the subject, or why there is none to show."""
        return self.subject or (self.reason if self.outcome != self.Outcome.ACCEPTED else "") or "no subject"

    @property
    def why(self) -> str:
        """Why it went as it did; of a message that was made here, what it is for."""
        return TOLD.get(self.reason, self.reason) if self.kind == self.Kind.NOTIFICATION else self.reason


class Event(models.Model):
    """`kind` is filed, queued, expanded, delivered, delayed, failed, relayed, refused, fetched, held, …"""

    id = models.BigIntegerField(primary_key=True, default=new_id)
    story = models.ForeignKey(Story, models.CASCADE, related_name="events", db_constraint=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=12)
    address = models.CharField(max_length=320, blank=True)
    address_key = models.CharField(max_length=320, blank=True)
    domain = models.ForeignKey(Domain, models.SET_NULL, null=True, related_name="+", db_constraint=False)
    mailbox = models.ForeignKey(
        Mailbox, models.SET_NULL, null=True, related_name="+", db_constraint=False, db_index=False
    )
    reason = models.CharField(max_length=40, blank=True)
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["address_key", "-id"], name="event_address")]

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"


class StoryRecipient(models.Model):
    """What became of a message for one recipient, as far as is known: the events tell the way, this the end of it.

    It has the id of its QueuedRecipient where there is one. `address` is "" of what was refused before anybody was
    named. `text` says why, in words for people, or in those of another host.
    """

    class Fate(models.TextChoices):
        """From what needs somebody most to what needs nobody."""

        BOUNCED = "bounced", "Bounced"
        REFUSED = "refused", "Refused"
        DEFERRED = "deferred", "Asked to come again"
        HELD = "held", "Held"
        WAITING = "waiting", "Waiting"
        JUNK = "junk", "In Junk"
        DROPPED = "dropped", "Dropped"
        DELIVERED = "delivered", "Delivered"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    story = models.ForeignKey(Story, models.CASCADE, related_name="recipients", db_constraint=False)
    address = models.CharField(max_length=320, blank=True)
    domain = models.ForeignKey(
        Domain, models.SET_NULL, null=True, related_name="+", db_constraint=False, db_index=False
    )
    fate = models.CharField(max_length=9, choices=Fate)
    reason = models.CharField(max_length=40, blank=True)
    text = models.TextField(blank=True)
    attempt_count = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["fate", "-id"], name="recipient_fate"),
            models.Index(fields=["domain", "fate"], name="recipient_domain_fate"),
            # What is filed where it should be has no reason.
            models.Index(fields=["reason", "-id"], name="recipient_reason", condition=~models.Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.fate}"


class RefusalCount(models.Model):
    """Refusals above the rate at which each gets a Story: one row for a network, reason and minute."""

    network = models.CharField(max_length=50)
    reason = models.CharField(max_length=40)
    minute = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)
    example = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["network", "reason", "minute"], name="refusals_once")]
        indexes = [models.Index(fields=["minute"], name="refusals_by_minute")]

    def __str__(self) -> str:
        return f"{self.count} × {self.reason} from {self.network}"
