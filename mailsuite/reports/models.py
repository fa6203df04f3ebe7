"""Reports about mail in our domains' names, and those that we owe others.

`IncomingReport` is one mail to a report address, filed in the SMTP transaction; what it said is in `DmarcReport`
with its `DmarcRecord` rows, `FailureReport` or `TlsReport`. Only reports that count (mailsuite.reports.admission) are
taken in; of others the mail's row says why not. `DmarcDay` has the sums from which charts, advice and the stages of a
DMARC policy come.
"""

from django.db import models

from mailsuite.directory.models import Domain
from mailsuite.ids import new_id, reference
from mailsuite.store.models import Content


class IncomingReport(models.Model):
    """One mail to `dmarc-reports@` or `tls-reports@`. While `content` is set the raw message is kept."""

    class Kind(models.TextChoices):
        DMARC = "dmarc", "DMARC"
        TLS = "tls", "TLS"

    class State(models.TextChoices):
        WAITING = "waiting"
        READ = "read"
        DUPLICATE = "duplicate"
        IGNORED = "ignored"
        UNCOUNTED = "uncounted", "not counted"
        FAILED = "failed"

    class Cause(models.TextChoices):
        """Why a report does not count: the word for it, and how a page says it of many."""

        UNPROVED = "unproved", "whose sender was not proved"
        OWN_USER = "own-user", "sent by users of this host"
        NOT_THE_REPORTER = "not-the-reporter", "sent by somebody other than the reporter that it names"
        OTHER_DOMAIN = "other-domain", "about a domain that did not ask for reports at that address"
        OVER_BUDGET = "over-budget", "beyond what is read in a day"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    # The hosted domain whose report address it came to.
    domain = models.ForeignKey(Domain, models.CASCADE, related_name="incoming_reports")
    address = models.CharField(max_length=320)
    kind = models.CharField(max_length=5, choices=Kind)
    content = models.ForeignKey(Content, models.PROTECT, null=True, related_name="reports")
    story_id = models.BigIntegerField(null=True)
    received_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    is_verified = models.BooleanField("sender proved", default=False)
    # The domain of the mail's author, as far as one can be told.
    sender_domain = models.CharField("sent by", max_length=253, blank=True, default="")
    attempt_count = models.PositiveIntegerField(default=0)
    cause = models.CharField("why not counted", max_length=20, choices=Cause, blank=True, default="")
    # What it cost: rows that were kept of it, and how large it was unpacked.
    rows = models.PositiveIntegerField(default=0)
    octets_read = models.BigIntegerField(default=0)
    # Why it was not read or not believed, for people.
    reason = models.CharField(max_length=300, blank=True, default="")
    read_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name, verbose_name_plural = "report mail", "report mail"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], name="report_waiting", condition=models.Q(state="waiting")),
            # What is not proved costs nothing, and there may be any amount of it.
            models.Index(
                fields=["domain", "read_at"], name="report_cost_of_domain", condition=models.Q(is_verified=True)
            ),
        ]

    def __str__(self) -> str:
        return reference(self.pk)


class DmarcReport(models.Model):
    """One aggregate report (RFC 9990 §3.1) about a domain of ours, or a name below one.

    It is read in slices: `records_read` of `record_count` records are counted, all but `records_left_out`, which were
    more than is kept. The same report twice counts once; nobody can take the place of another's, since `reporter` is
    the domain that is proved to have sent it. `is_verified` is false in rows of an older version alone.
    """

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="dmarc_reports")
    incoming = models.ForeignKey(IncomingReport, models.SET_NULL, null=True, related_name="dmarc_reports")
    is_verified = models.BooleanField("counts", default=False)
    policy_domain = models.CharField("about", max_length=253)
    reporter = models.CharField("sent by", max_length=253, blank=True, default="")
    org_name = models.CharField("reporter", max_length=255)
    email = models.CharField(max_length=320, blank=True)
    extra_contact_info = models.CharField(max_length=500, blank=True)
    report_id = models.CharField(max_length=255)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    # The record as the reporter saw it: v=DMARC1 tags, in the report's own words.
    policy_published = models.CharField(max_length=500, blank=True)
    generator = models.CharField(max_length=255, blank=True)
    errors = models.TextField(blank=True)
    record_count = models.PositiveIntegerField(default=0)
    records_read = models.PositiveIntegerField(default=0)
    records_left_out = models.PositiveIntegerField(default=0)
    message_count = models.BigIntegerField("messages", default=0)
    aligned_count = models.BigIntegerField("passed", default=0)

    class Meta:
        verbose_name = "DMARC report"
        ordering = ["-begins_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy_domain", "reporter", "org_name", "report_id", "is_verified"], name="dmarc_report_once"
            )
        ]
        indexes = [models.Index(fields=["domain", "begins_at"], name="dmarc_report_of_domain")]

    def __str__(self) -> str:
        return f"{self.org_name} {self.report_id}"


class DmarcRecord(models.Model):
    """One record of a report: so many messages from one address with the same results."""

    report = models.ForeignKey(DmarcReport, models.CASCADE, related_name="records")
    source_ip = models.CharField(max_length=45)
    # Who seems to have sent it: see mailsuite.reports.sources.
    source = models.CharField(max_length=253, blank=True)
    count = models.BigIntegerField()
    disposition = models.CharField(max_length=10)
    is_dkim_aligned = models.BooleanField()
    is_spf_aligned = models.BooleanField()
    reasons = models.CharField(max_length=500, blank=True)
    header_from = models.CharField(max_length=253)
    envelope_from = models.CharField(max_length=253, blank=True)
    envelope_to = models.CharField(max_length=253, blank=True)
    # "pass example.org r202611" parted by "; ", and "pass example.org".
    dkim = models.TextField(blank=True)
    spf = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-count", "id"]

    def __str__(self) -> str:
        return f"{self.count} from {self.source_ip}"


class DmarcDay(models.Model):
    """What verified reports said of one domain, day (UTC) and sender."""

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="dmarc_days", db_index=False)
    day = models.DateField()
    source_ip = models.CharField(max_length=45)
    source = models.CharField(max_length=253, blank=True)
    messages = models.BigIntegerField(default=0)
    aligned = models.BigIntegerField(default=0)
    dkim_aligned = models.BigIntegerField(default=0)
    spf_aligned = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    # Not aligned, but let through: a known forwarder, a mailing list, somebody's own policy.
    overridden = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain", "day", "source_ip", "source"], name="dmarc_day_source_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.source or self.source_ip}"


class SourceName(models.Model):
    """What an address that sends is called in DNS (PTR), confirmed forward; "" when it has no such name."""

    source_ip = models.CharField(max_length=45, unique=True)
    name = models.CharField(max_length=253, blank=True)
    looked_up_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name or self.source_ip


class FailureReport(models.Model):
    """One report of a single message that failed (RFC 9991, RFC 6591)."""

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="failure_reports")
    incoming = models.ForeignKey(IncomingReport, models.SET_NULL, null=True, related_name="failure_reports")
    is_verified = models.BooleanField(default=False)
    reporter = models.CharField(max_length=255, blank=True)
    arrived_at = models.DateTimeField()
    source_ip = models.CharField(max_length=45, blank=True)
    auth_failure = models.CharField(max_length=100, blank=True)
    delivery_result = models.CharField(max_length=40, blank=True)
    rfc5321_mail_from = models.CharField(max_length=320, blank=True)
    rfc5322_from = models.CharField(max_length=500, blank=True)
    subject = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-arrived_at"]

    def __str__(self) -> str:
        return self.subject or self.source_ip


class TlsReport(models.Model):
    """One TLS report (RFC 8460 §4) about a domain of ours."""

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="tls_reports")
    incoming = models.ForeignKey(IncomingReport, models.SET_NULL, null=True, related_name="tls_reports")
    is_verified = models.BooleanField("counts", default=False)
    reporter = models.CharField("sent by", max_length=253, blank=True, default="")
    org_name = models.CharField("reporter", max_length=255)
    contact = models.CharField(max_length=320, blank=True)
    report_id = models.CharField("report ID", max_length=255)
    begins_at = models.DateTimeField("from")
    ends_at = models.DateTimeField("until")

    class Meta:
        verbose_name = "TLS report"
        ordering = ["-begins_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "reporter", "org_name", "report_id", "is_verified"], name="tls_report_once"
            )
        ]
        indexes = [models.Index(fields=["domain", "begins_at"], name="tls_report_of_domain")]

    def __str__(self) -> str:
        return f"{self.org_name} {self.report_id}"


class TlsPolicy(models.Model):
    """What one report says of one policy (RFC 8460 §4.4): sessions that succeeded and failed under it."""

    report = models.ForeignKey(TlsReport, models.CASCADE, related_name="policies")
    # tlsa, sts or no-policy-found.
    policy_type = models.CharField(max_length=20)
    policy_domain = models.CharField(max_length=253)
    successes = models.BigIntegerField(default=0)
    failures = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.policy_type} {self.policy_domain}"


class TlsFailure(models.Model):
    """One kind of failure of a policy's sessions (RFC 8460 §4.3)."""

    policy = models.ForeignKey(TlsPolicy, models.CASCADE, related_name="details")
    result_type = models.CharField(max_length=50)
    count = models.BigIntegerField()
    sending_ip = models.CharField(max_length=45, blank=True)
    receiving_host = models.CharField(max_length=253, blank=True)
    receiving_ip = models.CharField(max_length=45, blank=True)
    information = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.count} × {self.result_type}"


class OutgoingReport(models.Model):
    """The DMARC aggregate report that we owe a policy domain for one day (UTC): one row, so it is sent once.

    Its id is the Report-ID and its story's id is drawn with it, so that it is the same, and filed once, however often
    sending is tried (RFC 9990 §3.5.1).
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        SKIPPED = "skipped"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    policy_domain = models.CharField("domain", max_length=253)
    day = models.DateField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    # Why it was not sent, or waits, for people.
    reason = models.CharField(max_length=300, blank=True, default="")
    next_attempt_at = models.DateTimeField("next try")
    attempt_count = models.PositiveIntegerField("tries", default=0)
    # Where the domain's record wants it, and the report itself, packed, until it is sent.
    rua = models.TextField("asked for at", blank=True, default="")
    octets = models.BinaryField(null=True)
    submitter = models.CharField("sent by", max_length=253, blank=True, default="")
    recipients = models.TextField("sent to", blank=True, default="")
    file_name = models.CharField("file", max_length=600, blank=True, default="")
    record_count = models.PositiveIntegerField("rows", default=0)
    message_count = models.BigIntegerField("messages", default=0)
    story_id = models.BigIntegerField(default=new_id)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name, verbose_name_plural = "report sent", "reports sent"
        ordering = ["-day", "policy_domain"]
        constraints = [models.UniqueConstraint(fields=["policy_domain", "day"], name="outgoing_report_once")]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="outgoing_report_due", condition=models.Q(state="waiting"))
        ]

    def __str__(self) -> str:
        return f"{self.policy_domain} {self.day}"


class ReportSettings(models.Model):
    """One row: whether and in whose name reports are sent to others."""

    sends_dmarc = models.BooleanField(
        "send DMARC reports to others",
        default=True,
        help_text="Domains that ask for it learn once a day what came here in their name, by number and never by text.",
    )
    org_name = models.CharField(
        "organisation", max_length=100, blank=True, help_text="Empty: the name of the domain that sends them."
    )
    # None: the oldest domain whose DKIM record was seen in DNS.
    submitter = models.ForeignKey(
        Domain,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="sent by",
        help_text="Empty: the oldest domain whose DKIM record was seen in DNS. Without one no report is sent.",
    )

    # The last day whose reports were made.
    prepared_day = models.DateField(null=True, editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "report settings"

    def __str__(self) -> str:
        return "Report settings"


class ReportExclusion(models.Model):
    """A domain that gets no reports from us; names below it get none either."""

    domain_name = models.CharField("domain", max_length=253, unique=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = "domain without reports", "domains without reports"
        ordering = ["domain_name"]

    def __str__(self) -> str:
        return self.domain_name
