"""What domains say about TLS between mail hosts: ours to others (MTA-STS, DANE), and others' to us."""

from django.db import models

from mailsuite.directory.models import Domain
from mailsuite.mailauth.mtasts import MAX_MAX_AGE

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
OTHER_HOSTS_CHARACTERS = 500


class MtaSts(models.Model):
    """The MTA-STS policy of a domain of ours (RFC 8461). A domain without a row is testing."""

    class Mode(models.TextChoices):
        NONE = "none", "none: as if there were no policy"
        TESTING = "testing", "testing: senders deliver anyway, and report what failed"
        ENFORCE = "enforce", "enforce: senders deliver under good TLS or not at all"

    domain = models.OneToOneField(Domain, models.CASCADE, related_name="mta_sts")
    mode = models.CharField(max_length=7, choices=Mode, default=Mode.TESTING)
    max_age = models.PositiveIntegerField("seconds that senders remember it", default=WEEK_SECONDS)
    other_hosts = models.CharField(
        "further mail hosts",
        max_length=OTHER_HOSTS_CHARACTERS,
        blank=True,
        help_text="Hosts besides this one that MX records lead to, such as a backup; with commas between them.",
    )
    changed_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        verbose_name = "MTA-STS policy"
        verbose_name_plural = "MTA-STS policies"
        ordering = ["domain__name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(max_age__lte=MAX_MAX_AGE), name="mta_sts_max_age_in_range")
        ]

    def __str__(self) -> str:
        return str(self.domain)


class KnownPolicy(models.Model):
    """Another domain's MTA-STS policy as it was fetched, kept until `expires_at` (RFC 8461 §3.2, §10.2). Without a
    `policy` it stands for a fetch that failed, so that not every mail tries again."""

    domain = models.CharField(max_length=253, unique=True)
    policy_id = models.CharField(max_length=32, blank=True)
    policy = models.TextField(blank=True)
    fetched_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    used_at = models.DateTimeField()
    tried_at = models.DateTimeField()
    failure = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "MTA-STS policy of others"
        verbose_name_plural = "MTA-STS of others"
        ordering = ["domain"]

    def __str__(self) -> str:
        return self.domain


class HostKey(models.Model):
    """A key of this host's certificate, now or next, and what DNS says of its TLSA record; `digest` is the SHA-256 of
    its SPKI in hex, `seen_at` when the record was first seen in a row of looks that all saw it."""

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    ttl_seconds = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "host key"

    def __str__(self) -> str:
        return self.digest[:16]


class DaneLook(models.Model):
    """The last look at our own TLSA records: one row for each name of this host."""

    class State(models.TextChoices):
        GOOD = "good", "a record matches the key in use"
        MISSING = "missing", "no TLSA records"
        MISMATCH = "mismatch", "no record matches the key in use"
        INSECURE = "insecure", "not signed with DNSSEC"
        UNKNOWN = "unknown", "DNS did not answer"

    hostname = models.CharField(max_length=253, unique=True)
    at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State)
    text = models.CharField(max_length=500)
    # Whether DNSSEC vouches for what the name has, or has not.
    is_signed = models.BooleanField("the host's zone is signed with DNSSEC", default=False)
    resolver_validates = models.BooleanField("the resolver validates DNSSEC", default=False)
    resolver_text = models.CharField("why DANE is off for outgoing mail", max_length=300, blank=True)

    class Meta:
        verbose_name = "DANE check"

    def __str__(self) -> str:
        return self.hostname
