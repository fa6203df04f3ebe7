"""How messages go: expunged by IMAP, deleted by POP3, taken back after a copy that was not completed."""

from collections.abc import Sequence

from mailsuite.database.sql import placeholders, slices
from mailsuite.ids import new_id
from mailsuite.store import departed, flags
from mailsuite.store.locked import FolderRow, locked
from mailsuite.store.operations import Expunge, ExpungeAnswer
from mailsuite.store.rows import TombstoneRow
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import ROWS_AT_ONCE, Refused

REMOVED = "id, uid, flags, size_octets, created_modseq"


def expunge(batch: Batch, op: Expunge) -> ExpungeAnswer:
    folder = locked(batch).folder(op.mailbox_id, op.folder_id)
    check_count(op.uids)
    rows = locked(batch).messages(folder.id, op.uids, REMOVED, f" AND (flags & {flags.DELETED}) <> 0")
    departed.keep(batch, folder, [row[0] for row in rows])
    return remove(batch, folder, rows)


def check_count(uids: Sequence[int]) -> None:
    """Raises Refused for more than one operation may change."""
    if len(uids) > ROWS_AT_ONCE:
        raise Refused("limit", f"an operation changes at most {ROWS_AT_ONCE} messages")


def remove(batch: Batch, folder: FolderRow, rows: Sequence[tuple[int, int, int, int, int]]) -> ExpungeAnswer:
    """Deletes messages given as the columns REMOVED, leaving tombstones; the sweep takes what they held."""
    if not rows:
        return ExpungeAnswer([], folder.highest_modseq)
    usage, modseq = locked(batch).usage[folder.mailbox_id], locked(batch).modseq(folder)
    for row_id, uid, bits, size, created_modseq in rows:
        folder.count(bits, size, -1)
        usage.used_octets -= size
        usage.message_count -= 1
        batch.insert(TombstoneRow(new_id(), folder.id, uid, modseq, row_id, created_modseq))
    for slice_ids in slices([row[0] for row in rows]):
        batch.cursor.execute(f"DELETE FROM store_message WHERE id IN ({placeholders(slice_ids)})", list(slice_ids))
    return ExpungeAnswer([row[1] for row in rows], modseq)
