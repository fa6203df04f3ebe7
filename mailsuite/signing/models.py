"""DKIM keys of our domains. The table has the name of the app that it was made in."""

from django.db import models

from mailsuite.directory.models import Domain


class DkimKey(models.Model):
    """One DKIM key pair (RFC 6376). The private key is PKCS#8 PEM, encrypted by the root secret."""

    class Algorithm(models.TextChoices):
        RSA = "rsa", "RSA-2048"
        ED25519 = "ed25519", "Ed25519"

    class State(models.TextChoices):
        PENDING = "pending"
        PUBLISHED = "published"
        ACTIVE = "active"
        RETIRED = "retired"
        REVOKED = "revoked"

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="dkim_keys")
    selector = models.CharField(max_length=63)
    algorithm = models.CharField(max_length=8, choices=Algorithm)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    private_key = models.TextField(editable=False)
    public_key = models.TextField(editable=False, help_text="The p= value: base64, one line.")
    created_at = models.DateTimeField(auto_now_add=True)
    seen_in_dns_at = models.DateTimeField("seen in DNS", null=True, blank=True, editable=False)
    activated_at = models.DateTimeField("signs since", null=True, blank=True, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True, editable=False)
    # A key of a rotation: it takes over by itself once its record is seen at the domain's own name servers.
    takes_over = models.BooleanField(default=False, editable=False)

    class Meta:
        db_table = "records_dkimkey"
        verbose_name = "DKIM key"
        constraints = [models.UniqueConstraint(fields=["domain", "selector"], name="dkim_selector_once")]

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"
