"""Who may bring mail here and who may not: rules, DNS lists, what greylisting remembers."""

from django.db import models
from django.db.models import Q

from mailsuite.directory.models import Domain, Mailbox


class Rule(models.Model):
    """What somebody who knows has said of a sender. Without domain and mailbox it holds for the site.

    `value` is brought to one form by the service: an address key, an A-label domain, a network in CIDR.
    """

    class Action(models.TextChoices):
        ALLOW = "allow", "allow: to the inbox, whatever else speaks against it"
        JUNK = "junk", "junk: to the Junk folder"
        BLOCK = "block", "block: refused"

    class Subject(models.TextChoices):
        SENDER = "sender", "sender's address"
        SENDER_DOMAIN = "sender-domain", "sender's domain, and those below it"
        NETWORK = "network", "client's address or network"
        RECIPIENT = "recipient", "recipient's address"

    domain = models.ForeignKey(Domain, models.CASCADE, null=True, blank=True, related_name="screening_rules")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, null=True, blank=True, related_name="screening_rules")
    action = models.CharField(max_length=5, choices=Action, default=Action.BLOCK)
    subject = models.CharField("what it looks at", max_length=13, choices=Subject, default=Subject.SENDER)
    value = models.CharField(max_length=320)
    believes_unproven = models.BooleanField(
        "even when nothing proves the sender",
        default=False,
        help_text="An allow rule for a sender holds only when SPF, DKIM or DMARC prove the sender; with this, always.",
    )
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "allow or block rule"
        ordering = ["subject", "value"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "value"], condition=Q(domain=None, mailbox=None), name="site_rule_once"
            ),
            models.UniqueConstraint(
                fields=["domain", "subject", "value"], condition=Q(mailbox=None), name="domain_rule_once"
            ),
            models.UniqueConstraint(fields=["mailbox", "subject", "value"], name="mailbox_rule_once"),
            models.CheckConstraint(condition=Q(domain=None) | Q(mailbox=None), name="rule_has_one_scope"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.value}"


class DnsList(models.Model):
    """A DNS list that may be asked about clients (RFC 5782). `zone` may hold an account's key: superusers alone see it,
    stories and replies name the list by `name`. `is_active` is what people want, `state` what was found."""

    class Kind(models.TextChoices):
        BLOCK = "block", "block list: its weight speaks against the client"
        ALLOW = "allow", "allow list: its weight speaks for the client"

    class State(models.TextChoices):
        UNTESTED = "untested"
        GOOD = "good"
        ERROR = "error"

    name = models.CharField(max_length=60, unique=True)
    zone = models.CharField(max_length=253, unique=True)
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.BLOCK)
    weight = models.FloatField(
        default=1.0, help_text="Mail is junk from 1 on, and refused from 2, unless you say else."
    )
    asks_ipv4 = models.BooleanField("knows IPv4 addresses", default=True)
    asks_ipv6 = models.BooleanField("knows IPv6 addresses", default=False)
    is_active = models.BooleanField("in use", default=False)
    state = models.CharField(max_length=8, choices=State, default=State.UNTESTED, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "DNS list"

    def __str__(self) -> str:
        return self.name


class ScreeningSettings(models.Model):
    """One row, with the id 1."""

    junk_score = models.FloatField("junk from this sum of weights on", default=1.0)
    reject_score = models.FloatField("refused from this sum of weights on", default=2.0)
    greylists_doubtful = models.BooleanField(
        "greylist the doubtful",
        default=True,
        help_text="Mail that something speaks against, from hosts not seen before, is asked to come again in a moment.",
    )
    greylist_minutes = models.PositiveSmallIntegerField("minutes until it may come again", default=1)
    first_sender_pause_minutes = models.PositiveSmallIntegerField(
        "pause for senders who write for the first time, in minutes",
        default=0,
        help_text="0 for none. Mailboxes may have their own.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "screening settings"

    def __str__(self) -> str:
        return "Screening settings"


class SenderPause(models.Model):
    """A mailbox's own pause for senders who write to it for the first time; 0 for none, whatever the site's is."""

    mailbox = models.OneToOneField(Mailbox, models.CASCADE, related_name="sender_pause")
    minutes = models.PositiveSmallIntegerField(default=10)

    class Meta:
        ordering = ["mailbox"]
        verbose_name = "first-time pause"

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.minutes} minutes"


class GreylistEntry(models.Model):
    """Somebody who was asked to come again. `key` is a digest of what must be the same when it does; it may come from
    elsewhere by what `pool_key` or `message_key` is a digest of, "" where there is nothing of the kind."""

    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=64, unique=True)
    pool_key = models.CharField(max_length=64, blank=True, default="", editable=False)
    message_key = models.CharField(max_length=64, blank=True, default="", editable=False)
    network = models.CharField(max_length=43)
    reverse_path = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320)
    doubts = models.CharField(max_length=200, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)
    passed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-last_seen_at"]
        verbose_name = "greylisted sender"
        indexes = [
            models.Index(fields=["kind", "network", "passed_at"], name="greylist_network"),
            models.Index(fields=["pool_key"], name="greylist_pool"),
            models.Index(fields=["message_key"], name="greylist_message"),
        ]

    def __str__(self) -> str:
        return f"{self.reverse_path or '<>'} from {self.network}"
