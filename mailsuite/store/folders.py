"""Folders: making, removing, renaming; what a new mailbox starts with."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.db import transaction

from mailsuite.database.sql import Update
from mailsuite.directory.models import Mailbox
from mailsuite.store.locked import FolderRow, locked
from mailsuite.store.models import Folder, Message, Subscription, Tombstone, Usage
from mailsuite.store.operations import CreateFolder, DeleteFolder, PurgeFolder, RenameFolder, Subscribe
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import ROWS_AT_ONCE, Refused

SEPARATOR = "/"
MAX_NAME_CHARACTERS = 1000
MAX_DEPTH = 50
MAX_FOLDERS = 5000
# More than folders, for names that outlive theirs.
MAX_SUBSCRIPTIONS = 2 * MAX_FOLDERS
RENAMED = Update(Folder, "name", "modseq")
# There from the start: a client that finds none makes its own, under another name in every language.
FIRST_FOLDERS = {
    "INBOX": Folder.Role.INBOX,
    "Sent": Folder.Role.SENT,
    "Drafts": Folder.Role.DRAFTS,
    "Trash": Folder.Role.TRASH,
    "Junk": Folder.Role.JUNK,
    "Archive": Folder.Role.ARCHIVE,
}


@transaction.atomic
def prepare_mailbox(mailbox: Mailbox) -> None:
    """Makes the Usage row, the first folders and their subscriptions, in the caller's transaction."""
    # Seconds since 1970 fit RFC 3501's 32 bits, and a mailbox removed and made again starts above its old values.
    validity = int(datetime.now(UTC).timestamp())
    Usage.objects.create(mailbox=mailbox, next_uid_validity=validity + len(FIRST_FOLDERS))
    Folder.objects.bulk_create(
        Folder(mailbox=mailbox, name=name, role=role, uid_validity=validity + position)
        for position, (name, role) in enumerate(FIRST_FOLDERS.items())
    )
    Subscription.objects.bulk_create(Subscription(mailbox=mailbox, name=name) for name in FIRST_FOLDERS)


def close_mailboxes(mailbox_ids: Sequence[int]) -> None:
    """Has nothing filed in these mailboxes from now on, in the caller's transaction: waits for what is being filed, in
    the order in which batches lock."""
    rows = Usage.objects.filter(mailbox__in=mailbox_ids).order_by("pk")
    list(rows.select_for_update().values_list("pk", flat=True))
    rows.update(is_removed=True)


def reopen_mailboxes(mailbox_ids: Sequence[int]) -> None:
    """Undoes `close_mailboxes`."""
    Usage.objects.filter(mailbox__in=mailbox_ids).update(is_removed=False)


def create_folder(batch: Batch, op: CreateFolder) -> int:
    """A name that only held others becomes a folder that can be selected. One of the first folders that was deleted and
    is made again has its special use again, so that clients find it and make no other."""
    name = _checked(op.name)
    existing = locked(batch).named(op.mailbox_id, name)
    if existing and existing.is_selectable:
        raise Refused("exists", "there is a folder of that name already")
    taken = {row.role for row in locked(batch).in_mailbox(op.mailbox_id)}
    if op.role and op.role in taken:
        raise Refused("cannot", "another folder has that special use already")
    usual = str(FIRST_FOLDERS.get(name, ""))
    role = op.role or ("" if usual in taken else usual)
    _make_parents(batch, op.mailbox_id, name)
    if existing:
        existing.is_selectable, existing.uid_validity = True, _draw_uid_validity(batch, op.mailbox_id)
        existing.role = role
        Folder.objects.filter(pk=existing.id).update(
            is_selectable=True,
            uid_validity=existing.uid_validity,
            role=role,
            modseq=locked(batch).mailbox_modseq(op.mailbox_id),
        )
        return existing.id
    return _insert(batch, op.mailbox_id, name, role=role).id


def delete_folder(batch: Batch, op: DeleteFolder) -> None:
    folder = _existing(batch, op.mailbox_id, op.name)
    if folder.role == Folder.Role.INBOX:
        raise Refused("cannot", "INBOX can't be deleted")
    children = _below(batch, op.mailbox_id, folder.name)
    if not folder.is_selectable and children:
        raise Refused("cannot", "delete the folders below it first")
    modseq = locked(batch).mailbox_modseq(op.mailbox_id)
    locked(batch).give_back(folder)
    batch.flush()
    locked(batch).forget_folder(folder)
    # Its rows, which may be many, go later (purge_folder). No client can make a folder of this name.
    Folder.objects.filter(pk=folder.id).update(
        name=f"\x7fremoved/{folder.id}", role="", is_selectable=False, removed_at=batch.now, modseq=modseq
    )
    if children:
        _insert(batch, op.mailbox_id, op.name, is_selectable=False)


def purge_folder(batch: Batch, op: PurgeFolder) -> bool:
    """Whether more of the folder is left to be deleted."""
    if not Folder.objects.filter(pk=op.folder_id).exclude(removed_at=None).exists():
        return False
    for model in (Message, Tombstone):
        rows = model._default_manager.filter(folder_id=op.folder_id)
        if ids := list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE]):
            rows.filter(pk__in=ids).delete()
            return True
    Folder.objects.filter(pk=op.folder_id).delete()
    return False


def rename_folder(batch: Batch, op: RenameFolder) -> None:
    folder, new_name = _existing(batch, op.mailbox_id, op.name), _checked(op.new_name)
    if folder.role == Folder.Role.INBOX:
        raise Refused("cannot", "INBOX stays; make a folder and move its messages there")
    if locked(batch).named(op.mailbox_id, new_name):
        raise Refused("exists", "there is a folder of that name already")
    if new_name.startswith(folder.name + SEPARATOR):
        raise Refused("cannot", "a folder can't be moved below itself")
    _make_parents(batch, op.mailbox_id, new_name)
    children = _below(batch, op.mailbox_id, folder.name)
    # The deepest last would do as well: no new name meets an old one, since none begins with the folder's own.
    renamed = [folder, *children]
    for row in renamed:
        locked(batch).forget_folder(row)
        row.name = new_name + row.name[len(op.name) :]
        _checked(row.name)
        locked(batch).adopt_folder(row)
    modseq = locked(batch).mailbox_modseq(op.mailbox_id)
    RENAMED.run(batch.cursor, [(row.name, modseq, row.id) for row in renamed])


def subscribe(batch: Batch, op: Subscribe) -> None:
    subscribed = Subscription.objects.filter(mailbox_id=op.mailbox_id)
    if not op.on:
        subscribed.filter(name=op.name).delete()
    elif not subscribed.filter(name=_checked(op.name)).exists():
        if subscribed.count() >= MAX_SUBSCRIPTIONS:
            raise Refused("cannot", f"a mailbox subscribes to at most {MAX_SUBSCRIPTIONS} names")
        Subscription.objects.create(mailbox_id=op.mailbox_id, name=op.name)


def _existing(batch: Batch, mailbox_id: int, name: str) -> FolderRow:
    folder = locked(batch).named(mailbox_id, name)
    if folder is None:
        raise Refused("nonexistent", "there is no folder of that name")
    return folder


def _below(batch: Batch, mailbox_id: int, name: str) -> list[FolderRow]:
    return [row for row in locked(batch).in_mailbox(mailbox_id) if row.name.startswith(name + SEPARATOR)]


def _make_parents(batch: Batch, mailbox_id: int, name: str) -> None:
    parts = name.split(SEPARATOR)
    for depth in range(1, len(parts)):
        parent = SEPARATOR.join(parts[:depth])
        if locked(batch).named(mailbox_id, parent) is None:
            _insert(batch, mailbox_id, parent)


def _insert(batch: Batch, mailbox_id: int, name: str, role: str = "", *, is_selectable: bool = True) -> FolderRow:
    if mailbox_id not in locked(batch).usage:
        raise Refused("nonexistent", f"mailbox {mailbox_id} is gone")
    if len(locked(batch).in_mailbox(mailbox_id)) >= MAX_FOLDERS:
        raise Refused("cannot", f"a mailbox holds at most {MAX_FOLDERS} folders")
    modseq = locked(batch).mailbox_modseq(mailbox_id)
    folder = Folder.objects.create(
        mailbox_id=mailbox_id,
        name=name,
        role=role,
        is_selectable=is_selectable,
        uid_validity=_draw_uid_validity(batch, mailbox_id),
        highest_modseq=modseq,
        modseq=modseq,
    )
    places = (folder.pk, mailbox_id, name, role, is_selectable)
    row = FolderRow(*places, folder.uid_validity, 1, folder.highest_modseq, 1, 0, 0, 0, 0)
    locked(batch).adopt_folder(row)
    return row


def _draw_uid_validity(batch: Batch, mailbox_id: int) -> int:
    """Never one that the mailbox had before, whatever was deleted (RFC 3501 §2.3.1.1)."""
    usage = locked(batch).usage[mailbox_id]
    value = max(usage.next_uid_validity, int(batch.now.timestamp()))
    usage.next_uid_validity = value + 1
    Usage.objects.filter(mailbox_id=mailbox_id).update(next_uid_validity=value + 1)
    return value


def _checked(name: str) -> str:
    if not name or len(name) > MAX_NAME_CHARACTERS or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise Refused("invalid", f"a folder's name has 1 to {MAX_NAME_CHARACTERS} characters and no control characters")
    parts = name.split(SEPARATOR)
    if "" in parts:
        raise Refused("invalid", "a folder's name has no empty part between slashes")
    if len(parts) > MAX_DEPTH:
        raise Refused("invalid", f"folders can be nested {MAX_DEPTH} deep")
    return name
