"""What a domain publishes in DNS, and what was seen there: its choices, the latest check, each change."""

from django.db import models

from mailsuite.directory.models import Domain


class DomainPolicy(models.Model):
    """What an administrator chose for a domain's records. A domain without a row has the defaults."""

    class Mode(models.TextChoices):
        MAIL = "mail", "It sends and receives mail"
        RECEIVES = "receives", "It sends no mail"
        PARKED = "parked", "Parked: it neither sends nor receives mail"

    class DmarcStage(models.TextChoices):
        """In their order; a trial asks receivers to report as if, and to be one step softer (t=y, RFC 9989)."""

        NONE = "none", "Watch only"
        QUARANTINE_TRIAL = "quarantine-trial", "Trial of quarantine"
        QUARANTINE = "quarantine", "Quarantine"
        REJECT_TRIAL = "reject-trial", "Trial of reject"
        REJECT = "reject", "Reject"

    domain = models.OneToOneField(Domain, models.CASCADE, related_name="dns_policy")
    mode = models.CharField(max_length=8, choices=Mode, default=Mode.MAIL)
    dmarc_stage = models.CharField(max_length=16, choices=DmarcStage, default=DmarcStage.NONE)
    dmarc_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # None: as the site's MAILSUITE_DKIM_ROTATION says; 0: only by the button.
    rotation_months = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = "DNS policy"
        verbose_name_plural = "DNS policies"

    def __str__(self) -> str:
        return str(self.domain)


class DnsCheck(models.Model):
    """The latest look at a domain's records: when, what was found (`report`: JSON, see reporting.py), when again.

    `started_at` is set while one is under way; a look that died is taken over after some minutes.
    """

    domain = models.OneToOneField(Domain, models.CASCADE, related_name="dns_check")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    next_step = models.CharField(max_length=500, blank=True)
    report = models.TextField(blank=True)
    # Drift: since when something that was well is not, and when that was last told by mail.
    worse_since = models.DateTimeField(null=True, blank=True)
    worse_text = models.CharField(max_length=500, blank=True)
    alarmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "DNS check"

    def __str__(self) -> str:
        return str(self.domain)


class Observation(models.Model):
    """What was seen at one name, where it differs from what was seen there before."""

    class Source(models.TextChoices):
        OWN = "own", "its own name servers"
        PUBLIC = "public", "the public"
        LIVE = "live", "those who connect"

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="dns_observations")
    name = models.CharField(max_length=255)
    type = models.CharField(max_length=10)
    source = models.CharField(max_length=6, choices=Source)
    # JSON: the values in a fixed order, as a zone file would have them.
    values = models.TextField()
    verdict = models.CharField(max_length=8)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["domain", "name", "type", "source", "-at"], name="observation_latest")]

    def __str__(self) -> str:
        return f"{self.type} {self.name} at {self.at:%Y-%m-%d %H:%M}"
