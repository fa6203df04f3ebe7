"""What leaves an inbox while a POP3 session has it open: kept, so that the session's snapshot is served to its end
(RFC 1939 §3, §5).

Bounded by that snapshot: each of its messages departs once, and what came later is not kept. Octets are not copied,
their Content is held. What a session leaves behind harms nobody: the next one shows other uids.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from mailsuite.database.sql import placeholders, slices
from mailsuite.store.locked import FolderRow
from mailsuite.store.models import DepartedMessage, Folder, MaildropLease
from mailsuite.writer.batch import Batch

# A session whose store was away for a while is alive and goes on with its snapshot.
DEAD_AFTER = timedelta(hours=1)
# As many as one transaction should delete.
AT_ONCE = 1_000
KEPT = "uid, unique_id, mailbox_id, content_id, internal_date, save_date, prefix, size_octets, first_fetched_at"


def keep(batch: Batch, folder: FolderRow, message_ids: Sequence[int]) -> None:
    """To be called before these leave the folder. Where no POP3 session lives, it costs a look by the primary key."""
    if folder.role != Folder.Role.INBOX or not message_ids:
        return
    batch.cursor.execute("SELECT uid_next FROM store_maildroplease WHERE mailbox_id = %s", [folder.mailbox_id])
    for (uid_next,) in batch.cursor.fetchall():
        for some in slices(message_ids):
            batch.cursor.execute(
                f"INSERT INTO store_departedmessage (message_id, {KEPT}) SELECT id, {KEPT} FROM store_message"
                f" WHERE id IN ({placeholders(some)}) AND uid < %s",
                [*some, uid_next],
            )


def let_go(mailbox_id: int) -> None:
    """Forgets what was kept for the mailbox's session, now over; the sweep takes what is more than AT_ONCE."""
    some = DepartedMessage.objects.filter(mailbox_id=mailbox_id).values("pk")[:AT_ONCE]
    DepartedMessage.objects.filter(pk__in=some).delete()


def sweep_departed(now: datetime) -> int:
    """Ends leases that nobody has renewed for long, forgets what is kept for no lease; returns how many messages."""
    MaildropLease.objects.filter(expires_at__lt=now - DEAD_AFTER).delete()
    lease = MaildropLease.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    unshown = DepartedMessage.objects.exclude(Exists(lease)).values_list("pk", flat=True)
    forgotten = 0
    while ids := list(unshown[:AT_ONCE]):
        forgotten += DepartedMessage.objects.filter(pk__in=ids).delete()[0]
    return forgotten
