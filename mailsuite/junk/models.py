"""What the mailboxes remember: senders (reputation), words (content filter), and the journal that teaches both.

The store writes Judgement rows in the transaction of the move or keyword that they tell of; mailsuite.junk.training
alone reads them, and writes the other tables.
"""

from django.db import models

from mailsuite.directory.models import Mailbox
from mailsuite.ids import new_id


class Judgement(models.Model):
    """The owner said what a message is: to be learned, then deleted. Ids ascend with time."""

    class Word(models.TextChoices):
        JUNK = "junk"
        WANTED = "wanted"
        # Not said, but shown (kept.py): weighs less, and nothing against what was said.
        KEPT = "kept"
        # Taken back: a keyword was removed and no other says anything.
        NONE = "none"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    # No index: few rows wait here, and the store's insert is to cost little.
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+", db_index=False)
    # No constraint, since a row that waits must not keep a removed message.
    content_id = models.BigIntegerField()
    story_id = models.BigIntegerField(null=True)
    word = models.CharField(max_length=6, choices=Word)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.mailbox_id}: {self.content_id} is {self.word}"


class Lesson(models.Model):
    """What one message taught, so that it can be taken back exactly. A message is its content, whatever copies of it
    the mailbox has. `buckets` are the filter's, as unsigned 16-bit numbers; `rungs` is JSON."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+", db_index=False)
    content_id = models.BigIntegerField()
    word = models.CharField(max_length=6, choices=Judgement.Word)
    buckets = models.BinaryField(default=b"")
    # How often the mailbox's and the site's counters of this kind had been halved before.
    own_halvings = models.PositiveIntegerField(default=0)
    site_halvings = models.PositiveIntegerField(default=0)
    rungs = models.TextField(default="[]")
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "content_id"], name="lesson_once")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}: {self.content_id} is {self.word}"


class Sender(models.Model):
    """What one mailbox remembers of a sender, by one rung (mailsuite.junk.signs)."""

    class Rung(models.TextChoices):
        FROM = "from", "address"
        DOMAIN = "domain", "domain"
        ORGANIZATION = "organization", "organisation"
        DKIM = "dkim", "DKIM domain"
        SPF = "spf", "SPF domain"
        NETWORK = "net", "network"
        REPLY = "reply", "message sent"

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="senders", db_index=False)
    rung = models.CharField("known by", max_length=12, choices=Rung)
    key = models.CharField("sender", max_length=320)
    wanted = models.PositiveIntegerField("said to be wanted", default=0)
    junked = models.PositiveIntegerField("said to be junk", default=0)
    kept = models.PositiveIntegerField("read and kept", default=0)
    wrote_at = models.DateTimeField("written to", null=True)
    judged_at = models.DateTimeField("last judged", null=True)
    changed_at = models.DateTimeField("last change", db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "rung", "key"], name="sender_once")]

    def __str__(self) -> str:
        return self.key


class WordTable(models.Model):
    """What a filter has counted: a mailbox's own, or the site's, which is the sum of all mailboxes'."""

    SITE = 0

    # The mailbox's id, or SITE.
    id = models.BigIntegerField(primary_key=True)
    mailbox = models.OneToOneField(Mailbox, models.CASCADE, null=True, related_name="word_table")
    wanted_count = models.PositiveIntegerField("wanted messages", default=0)
    junk_count = models.PositiveIntegerField("junk messages", default=0)
    # How often the counters of each kind were halved, messages included.
    wanted_halvings = models.PositiveIntegerField(default=0)
    junk_halvings = models.PositiveIntegerField(default=0)
    # Moved on by every change, so that those who keep a copy see that it is old.
    version = models.PositiveBigIntegerField(default=0)
    counts = models.BinaryField(default=b"")
    changed_at = models.DateTimeField("last learned")

    class Meta:
        verbose_name = "junk filter"

    def __str__(self) -> str:
        return str(self.mailbox) if self.mailbox_id else "the whole site"


class Progress(models.Model):
    """How far a reader has come in a table whose ids ascend with time."""

    name = models.CharField(max_length=20, primary_key=True)
    last_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.last_id}"
