"""Mail as rows. `Content` is one received message, `Message` its place in a `Folder`; octets are in blobs.

Only the store service's batches write these tables (mailsuite.writer); rows that a batch must agree on (`Usage`,
`Folder`) are locked first, sorted by id. All that a batch changes in a mailbox carries one mod-sequence (RFC 7162),
drawn from the locked Usage row: commit order is modseq order, across folders. Whoever else wants to change mail has
the functions of shell.py; guard.py says so to those who try by the models.
"""

from email import message_from_bytes, policy
from email.message import EmailMessage

from django.db import models

from mailsuite.database.guard import StoreOwned
from mailsuite.directory.models import Mailbox
from mailsuite.ids import new_id
from mailsuite.writer.storage import mail_storage

MOST_OCTETS = 50 * 1024 * 1024


class Usage(StoreOwned):
    """What a mailbox holds; the row that a batch locks before it touches any of the mailbox's folders."""

    mailbox = models.OneToOneField(Mailbox, models.CASCADE, primary_key=True, related_name="usage")
    used_octets = models.BigIntegerField(default=0)
    message_count = models.BigIntegerField(default=0)
    # The next folder made in this mailbox: never one that a deleted folder of the same name had (RFC 3501 §2.3.1.1).
    next_uid_validity = models.PositiveBigIntegerField()
    # The last mod-sequence drawn for anything in this mailbox.
    highest_modseq = models.PositiveBigIntegerField(default=1, db_default=1)
    quota_warned_at = models.DateTimeField(null=True, blank=True)
    # As the directory says, in this row because a batch locks it: nothing is filed in a mailbox that is removed.
    is_removed = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.message_count} messages, {self.used_octets} octets"


class Folder(StoreOwned):
    """What RFC 9051 calls a mailbox. `name` is the whole name, parts parted by `/`; no path of any file system."""

    class Role(models.TextChoices):
        NONE = "", "none"
        INBOX = "inbox"
        SENT = "sent"
        DRAFTS = "drafts"
        TRASH = "trash"
        JUNK = "junk"
        ARCHIVE = "archive"

    change_by = "mailsuite.store.shell.create_folder(), rename_folder() or delete_folder()"

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="folders")
    name = models.CharField(max_length=1000)
    role = models.CharField(max_length=10, choices=Role, default=Role.NONE, blank=True)
    # A name that only holds others: cannot be selected (\Noselect).
    is_selectable = models.BooleanField(default=True)
    uid_validity = models.PositiveBigIntegerField()
    uid_next = models.PositiveBigIntegerField(default=1)
    # The mailbox's when a message here last came, changed or went (RFC 7162 §3.1.2.1).
    highest_modseq = models.PositiveBigIntegerField(default=1)
    # The mailbox's when the folder itself was made, or last named anew, deleted or brought back.
    modseq = models.PositiveBigIntegerField(default=1, db_default=1)
    # UIDs from here on have been \Recent in no session yet.
    recent_uid = models.PositiveBigIntegerField(default=1)
    message_count = models.BigIntegerField(default=0)
    unseen_count = models.BigIntegerField(default=0)
    deleted_count = models.BigIntegerField(default=0)
    size_octets = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    # Deleted: no client sees it, its messages count no more, and its rows go some at a time.
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "name"], name="folder_name_once")]
        indexes = [
            models.Index(fields=["removed_at"], condition=models.Q(removed_at__isnull=False), name="folder_removed")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.mailbox}"


class Subscription(StoreOwned):
    """A subscribed name, which outlives the folder of that name (RFC 3501 §6.3.6)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="subscriptions")
    name = models.CharField(max_length=1000)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "name"], name="subscription_once")]

    def __str__(self) -> str:
        return self.name


class Content(StoreOwned):
    """One reception, shared by all who got it: never changed, its octets in one blob.

    `envelope` and `body_structure` are answers to FETCH, ready as octets; `parts` are the offsets of each part
    (mailsuite.mail.structure); `header` is the header block unless it is too large to keep in a row.
    """

    id = models.BigIntegerField(primary_key=True, default=new_id)
    blob = models.CharField(max_length=100)
    # By which version of the reading the columns below were filled (mailsuite.store.content).
    reading_version = models.PositiveSmallIntegerField(db_default=1)
    size_octets = models.BigIntegerField()
    header_octets = models.IntegerField()
    received_at = models.DateTimeField()
    header = models.BinaryField(null=True)
    envelope = models.BinaryField()
    body_structure = models.BinaryField()
    body = models.BinaryField()
    parts = models.BinaryField()
    message_id = models.CharField(max_length=998, blank=True)
    subject = models.CharField(max_length=500, blank=True)
    from_text = models.CharField(max_length=500, blank=True)
    to_text = models.CharField(max_length=1000, blank=True)
    cc_text = models.CharField(max_length=1000, blank=True)
    sent_at = models.DateTimeField(null=True)
    # Hash of the conversation's first Message-ID: equal for all who take part in it (RFC 8474 §5.2).
    thread_id = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["blob"], name="content_blob")]

    def __str__(self) -> str:
        return self.subject or self.message_id or str(self.pk)


class Message(StoreOwned):
    """A Content's place in a Folder: its own flags, keywords, uid and generated header `prefix`."""

    change_by = "mailsuite.store.shell.delete(), move(), copy(), set_flags() or append()"

    id = models.BigIntegerField(primary_key=True, default=new_id)
    # Indexes below begin with the folder; those that Django would add would only slow delivery.
    folder = models.ForeignKey(Folder, models.CASCADE, related_name="messages", db_index=False)
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="messages", db_index=False)
    content = models.ForeignKey(Content, models.PROTECT, related_name="messages")
    uid = models.PositiveBigIntegerField()
    # POP3's UIDL (RFC 1939 §7): kept by MOVE, new on COPY.
    unique_id = models.BigIntegerField()
    # Bits as in mailsuite.store.flags; keywords are sorted, parted by spaces.
    flags = models.SmallIntegerField(default=0)
    keywords = models.TextField(blank=True, default="")
    modseq = models.PositiveBigIntegerField()
    # The modseq with which this row came into its mailbox: kept by MOVE, new on COPY; 1 in rows that are older than it.
    created_modseq = models.PositiveBigIntegerField(db_default=1)
    internal_date = models.DateTimeField()
    save_date = models.DateTimeField()
    prefix = models.BinaryField(default=b"")
    size_octets = models.BigIntegerField()
    # The trace.Story of its reception; no constraint, since stories are forgotten sooner than mail.
    story_id = models.BigIntegerField(null=True)
    first_fetched_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["folder", "uid"], name="message_uid_once")]
        indexes = [models.Index(fields=["folder", "modseq"], name="message_changed_since")]

    def __str__(self) -> str:
        return f"{self.content} ({self.internal_date:%Y-%m-%d %H:%M}, uid {self.uid})"

    def octets(self, most_octets: int = MOST_OCTETS) -> bytes:
        """Return the whole message as clients are served it. Raises ValueError for one that is larger."""
        if self.size_octets > most_octets:
            raise ValueError(f"the message has {self.size_octets} octets, more than {most_octets}: say most_octets=")
        with mail_storage().open(self.content.blob) as blob:
            return bytes(self.prefix) + blob.read()

    def as_email(self, most_octets: int = MOST_OCTETS) -> EmailMessage:
        """Return the message as Python's email package reads it; a copy, which changes nothing here. Raises ValueError
        for one that is larger."""
        return message_from_bytes(self.octets(most_octets), policy=policy.default)


class Tombstone(StoreOwned):
    """A uid that a message has left, by expunge or MOVE, and when in modseq time: what a client that was away must
    forget (RFC 7162 §3.2.10). The message's own id and `created_modseq` are for those who follow the whole mailbox:
    they look whether it is in another folder now, and are not told of what came and went while they were away."""

    id = models.BigIntegerField(primary_key=True, default=new_id)
    folder = models.ForeignKey(Folder, models.CASCADE, related_name="tombstones", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()
    # None, and 1, in rows that are older than these columns.
    message_id = models.BigIntegerField(null=True)
    created_modseq = models.PositiveBigIntegerField(db_default=1)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["folder", "uid"], name="tombstone_once")]
        indexes = [models.Index(fields=["folder", "modseq"], name="tombstone_since")]

    def __str__(self) -> str:
        return f"{self.folder_id}:{self.uid}"


class MaildropLease(StoreOwned):
    """The exclusive lock of a POP3 session (RFC 1939 §4); a dead holder's lock falls with its lease."""

    mailbox = models.OneToOneField(Mailbox, models.CASCADE, primary_key=True)
    token = models.CharField(max_length=36)
    expires_at = models.DateTimeField()
    # The inbox's when the session began: what it shows has uids below.
    uid_next = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"maildrop {self.mailbox_id}"


class DepartedMessage(StoreOwned):
    """A message that has left the inbox while a POP3 session shows it: what serving it still takes. Holds its Content.

    `uid` is the one that it had there; the inbox gives none twice.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+", db_index=False)
    message_id = models.BigIntegerField(db_index=True)
    content = models.ForeignKey(Content, models.PROTECT, related_name="+")
    uid = models.PositiveBigIntegerField()
    unique_id = models.BigIntegerField()
    internal_date = models.DateTimeField()
    save_date = models.DateTimeField()
    prefix = models.BinaryField()
    size_octets = models.BigIntegerField()
    first_fetched_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "uid"], name="departed_uid_once")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}:{self.uid}"


class PartialCopy(StoreOwned):
    """A COPY of many messages, made in slices: all of it is undone unless it is completed (RFC 3501 §6.4.7).

    `uids` are those that it has made in the target so far, as ranges `first:last` parted by commas. What is left of
    `reserved_octets` counts against the quota as if it were there. After `expires_at` nobody is at it any more.
    """

    id = models.BigIntegerField(primary_key=True)
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+")
    target_id = models.BigIntegerField()
    uids = models.TextField(blank=True, default="")
    reserved_octets = models.BigIntegerField()
    expires_at = models.DateTimeField(db_index=True)
    completed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"copy {self.pk} into folder {self.target_id}"


class OrphanBlob(StoreOwned):
    """A blob that no row named when the sweep looked: looked at again, then deleted."""

    name = models.CharField(max_length=100, unique=True)
    marked_at = models.DateTimeField()
    forgotten_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
