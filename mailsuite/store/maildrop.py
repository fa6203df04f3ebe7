"""The maildrop of a POP3 session: its lock, and the end with what it deleted."""

from datetime import timedelta

from mailsuite.database.stored_time import holds
from mailsuite.store import departed, expunging
from mailsuite.store.locked import locked
from mailsuite.store.models import Folder, MaildropLease
from mailsuite.store.operations import ExpungeAnswer, LeaseAnswer, LeaseMaildrop, QuitMaildrop, ReleaseMaildrop
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Refused


def lease(batch: Batch, op: LeaseMaildrop) -> LeaseAnswer:
    """A lease that ran out is renewed like any other while nobody else has taken it: the store was away."""
    inbox = locked(batch).folder_for(op.mailbox_id, Folder.Role.INBOX, "")
    expires_at = batch.now + timedelta(seconds=op.seconds)
    held = MaildropLease.objects.filter(pk=op.mailbox_id).first()
    if held and held.token == op.token:
        MaildropLease.objects.filter(pk=op.mailbox_id).update(expires_at=expires_at)
        return LeaseAnswer(inbox.id, held.uid_next, inbox.message_count)
    if op.renew:
        raise Refused("lease-lost", "the lock on this mailbox was lost")
    if held and holds(held.expires_at, batch.now, timedelta(seconds=op.seconds)):
        raise Refused("locked", "another session has this mailbox open")
    if held:
        end(op.mailbox_id, held.token)
    MaildropLease.objects.create(
        mailbox_id=op.mailbox_id, token=op.token, expires_at=expires_at, uid_next=inbox.uid_next
    )
    return LeaseAnswer(inbox.id, inbox.uid_next, inbox.message_count)


def release(batch: Batch, op: ReleaseMaildrop) -> None:
    end(op.mailbox_id, op.token)


def quit_maildrop(batch: Batch, op: QuitMaildrop) -> ExpungeAnswer:
    """Messages that have left the inbox meanwhile are gone already, which is no error; where they were moved to, they
    stay."""
    folder = locked(batch).folder(op.mailbox_id, op.folder_id)
    expunging.check_count(op.uids)
    held = MaildropLease.objects.filter(pk=op.mailbox_id, token=op.token)
    if not (held.exists() if op.more else end(op.mailbox_id, op.token)):
        raise Refused("lease-lost", "the lock on this mailbox was lost; nothing was deleted")
    return expunging.remove(batch, folder, locked(batch).messages(folder.id, op.uids, expunging.REMOVED))


def end(mailbox_id: int, token: str) -> bool:
    """Ends the lease with all that is kept for it; False when somebody else has it, or nobody."""
    if not MaildropLease.objects.filter(pk=mailbox_id, token=token).delete()[0]:
        return False
    departed.let_go(mailbox_id)
    return True
