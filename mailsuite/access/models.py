"""Who is kept out, for how long, and what counts towards it. The tables have the names of the app they were made in."""

from django.db import models
from django.db.models import Q


class Ban(models.Model):
    """A network that is refused at the door, or an account whose password only known networks may try. One row for
    each; it stays for a while after its end, since the next ban is longer."""

    class Kind(models.TextChoices):
        NETWORK = "network"
        ACCOUNT = "account"

    class Reason(models.TextChoices):
        PASSWORD_GUESSING = "password-guessing", "guesses passwords"
        RECIPIENT_PROBING = "recipient-probing", "tries out recipients"
        PROTOCOL_ABUSE = "protocol-abuse", "breaks the protocol"
        BY_HAND = "by-hand", "by an administrator"

    kind = models.CharField(max_length=10, choices=Kind)
    # A network such as 192.0.2.1/32 or 2001:db8::/64, or an address key.
    subject = models.CharField("network or account", max_length=320)
    reason = models.CharField(max_length=20, choices=Reason)
    note = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField("bans so far", default=1)
    refused_count = models.PositiveBigIntegerField("turned away since", default=0)

    class Meta:
        db_table = "abuse_ban"
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="ban_once")]
        indexes = [models.Index(fields=["ends_at"], name="ban_end")]

    def __str__(self) -> str:
        """Without the prefix length of a single address, as people write it."""
        return self.subject.removesuffix("/32" if "." in self.subject else "/128")


class Offence(models.Model):
    """Points of one network, for one reason, within a window."""

    network = models.CharField(max_length=50)
    reason = models.CharField(max_length=20)
    points = models.PositiveIntegerField(default=0)
    window_started_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "abuse_offence"
        constraints = [models.UniqueConstraint(fields=["network", "reason"], name="offence_once")]

    def __str__(self) -> str:
        return f"{self.network} {self.reason}"


class AllowedNetwork(models.Model):
    """A network that is never banned."""

    network = models.CharField(max_length=50, unique=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        db_table = "abuse_allowednetwork"
        ordering = ["network"]
        verbose_name = "never banned network"
        verbose_name_plural = "never banned networks"

    def __str__(self) -> str:
        return self.network


class BanVersion(models.Model):
    """One row, changed in the transaction of every change of the bans and allowed networks: who remembers them looks
    at it."""

    version = models.PositiveBigIntegerField(default=1)

    class Meta:
        db_table = "abuse_banversion"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="ban_version_single_row")]

    def __str__(self) -> str:
        return str(self.version)
