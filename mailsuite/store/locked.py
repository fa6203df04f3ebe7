"""What a batch has locked of mailboxes: their Usage rows, sorted by mailbox id, then the Folder rows that they own.

Uids come from the locked Folder row, and one modseq for each mailbox from its Usage row, so commit order is modseq
order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mailsuite.database.sql import SLICE, for_update, placeholders, slices
from mailsuite.store import flags
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Operation, Refused

USAGE_COLUMNS = "mailbox_id, used_octets, message_count, next_uid_validity, highest_modseq, is_removed"
FOLDER_COLUMNS = (
    "id, mailbox_id, name, role, is_selectable, uid_validity, uid_next, highest_modseq, recent_uid, message_count,"
    " unseen_count, deleted_count, size_octets"
)


@dataclass(slots=True)
class UsageRow:
    mailbox_id: int
    used_octets: int
    message_count: int
    next_uid_validity: int
    highest_modseq: int


@dataclass(slots=True)
class FolderRow:
    """A locked Folder. `draw_uid` and `Locked.modseq` are the only sources of uids and mod-sequences."""

    id: int
    mailbox_id: int
    name: str
    role: str
    is_selectable: bool
    uid_validity: int
    uid_next: int
    highest_modseq: int
    recent_uid: int
    message_count: int
    unseen_count: int
    deleted_count: int
    size_octets: int

    def draw_uid(self) -> int:
        uid, self.uid_next = self.uid_next, self.uid_next + 1
        return uid

    def count(self, bits: int, size_octets: int, sign: int = 1) -> None:
        """A message with these flags comes (1) or goes (-1)."""
        self.message_count += sign
        self.size_octets += sign * size_octets
        self.unseen_count += 0 if bits & flags.SEEN else sign
        self.deleted_count += sign if bits & flags.DELETED else 0


class Locked:
    """Mailboxes that operations of the batch change: `usage` by mailbox id, `folders` by id. Those that were removed
    are left out: they have no folder that anything could be filed in. Who removes one waits for the lock, so that
    nothing is filed after the removal."""

    def __init__(self, batch: Batch, operations: Sequence[Operation[Any]]) -> None:
        self.usage: dict[int, UsageRow] = {}
        self.folders: dict[int, FolderRow] = {}
        self._batch = batch
        self._modseqs: dict[int, int] = {}
        self._mailboxes: set[int] = set()
        self._by_role: dict[tuple[int, str], FolderRow] = {}
        self._by_name: dict[tuple[int, str], FolderRow] = {}
        self._lock(sorted(set[int]().union(*(operation.mailbox_ids() for operation in operations))))

    def _lock(self, mailbox_ids: Sequence[int]) -> None:
        cursor = self._batch.cursor
        for ids in slices(mailbox_ids):
            cursor.execute(
                f"SELECT {USAGE_COLUMNS} FROM store_usage WHERE mailbox_id IN ({placeholders(ids)})"
                f" ORDER BY mailbox_id{for_update()}",
                ids,
            )
            self.usage.update((row[0], UsageRow(*row[:-1])) for row in cursor.fetchall() if not row[-1])
        for ids in slices(sorted(self.usage)):
            cursor.execute(
                f"SELECT {FOLDER_COLUMNS} FROM store_folder WHERE mailbox_id IN ({placeholders(ids)})"
                f" AND removed_at IS NULL ORDER BY id{for_update()}",
                ids,
            )
            for row in cursor.fetchall():
                self.adopt_folder(FolderRow(*row))

    def adopt_folder(self, row: FolderRow) -> None:
        self.folders[row.id] = row
        self._by_name[row.mailbox_id, row.name] = row
        if row.role:
            self._by_role[row.mailbox_id, row.role] = row

    def folder(self, mailbox_id: int, folder_id: int) -> FolderRow:
        """The locked folder. Refused when it is gone or somebody else's: ids from a client prove nothing."""
        row = self.folders.get(folder_id)
        if row is None or row.mailbox_id != mailbox_id or not row.is_selectable:
            raise Refused("nonexistent", "there is no such folder")
        return row

    def folder_for(self, mailbox_id: int, role: str, name: str) -> FolderRow:
        """Where a delivery goes: the folder named so, else the one with the role, else the inbox."""
        named = self._by_name.get((mailbox_id, name)) if name else None
        if named and named.is_selectable:
            return named
        row = self._by_role.get((mailbox_id, role)) or self._by_role.get((mailbox_id, "inbox"))
        if row is None or mailbox_id not in self.usage:
            raise Refused("nonexistent", f"mailbox {mailbox_id} is gone")
        return row

    def named(self, mailbox_id: int, name: str) -> FolderRow | None:
        return self._by_name.get((mailbox_id, name))

    def in_mailbox(self, mailbox_id: int) -> list[FolderRow]:
        return [row for row in self.folders.values() if row.mailbox_id == mailbox_id]

    def forget_folder(self, row: FolderRow) -> None:
        del self.folders[row.id], self._by_name[row.mailbox_id, row.name]
        if row.role:
            self._by_role.pop((row.mailbox_id, row.role), None)

    def reserve(self, mailbox_id: int, octets: int) -> None:
        """Counts octets as used, before or without messages; what is negative gives back."""
        self.usage[mailbox_id].used_octets += octets
        self._mailboxes.add(mailbox_id)

    def give_back(self, folder: FolderRow) -> None:
        """Takes what the folder holds from its mailbox's usage, as all of it is about to go."""
        usage = self.usage[folder.mailbox_id]
        usage.used_octets -= folder.size_octets
        usage.message_count -= folder.message_count
        self._batch.hints.add(folder.id)
        self._mailboxes.add(folder.mailbox_id)

    def modseq(self, folder: FolderRow) -> int:
        """The one modseq that everything this batch does in the mailbox carries, for a change of the folder's
        messages."""
        folder.highest_modseq = self.mailbox_modseq(folder.mailbox_id)
        self._batch.hints.add(folder.id)
        return folder.highest_modseq

    def mailbox_modseq(self, mailbox_id: int) -> int:
        """The same for a change that is none of any folder's messages."""
        modseq = self._modseqs.get(mailbox_id)
        if modseq is None:
            usage = self.usage[mailbox_id]
            usage.highest_modseq += 1
            modseq = self._modseqs[mailbox_id] = usage.highest_modseq
            self._mailboxes.add(mailbox_id)
        return modseq

    def finish(self) -> None:
        """Writes counters of folders and mailboxes that changed."""
        touched = [self.folders[folder_id] for folder_id in sorted(self._batch.hints) if folder_id in self.folders]
        self._update(
            "UPDATE store_folder SET uid_next = %s, highest_modseq = %s, message_count = %s, unseen_count = %s,"
            " deleted_count = %s, size_octets = %s WHERE id = %s",
            [
                (f.uid_next, f.highest_modseq, f.message_count, f.unseen_count, f.deleted_count, f.size_octets, f.id)
                for f in touched
            ],
        )
        usages = [self.usage[mailbox_id] for mailbox_id in sorted(self._mailboxes)]
        self._update(
            "UPDATE store_usage SET used_octets = %s, message_count = %s, highest_modseq = %s WHERE mailbox_id = %s",
            [(u.used_octets, u.message_count, u.highest_modseq, u.mailbox_id) for u in usages],
        )

    def _update(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._batch.cursor.executemany(sql, rows)

    def messages(self, folder_id: int, uids: Iterable[int] | None, columns: str, extra: str = "") -> list[Any]:
        """Rows of the folder's messages, ascending by uid; all of them when `uids` is None."""
        self._batch.flush()
        if uids is None:
            self._batch.cursor.execute(
                f"SELECT {columns} FROM store_message WHERE folder_id = %s{extra} ORDER BY uid", [folder_id]
            )
            return list(self._batch.cursor.fetchall())
        found: list[Any] = []
        for some in slices(sorted(set(uids)), SLICE):
            self._batch.cursor.execute(
                f"SELECT {columns} FROM store_message WHERE folder_id = %s AND uid IN ({placeholders(some)}){extra}"
                " ORDER BY uid",
                [folder_id, *some],
            )
            found.extend(self._batch.cursor.fetchall())
        return found


def locked(batch: Batch) -> Locked:
    """The mailboxes that the batch has locked."""
    return batch.locked(Locked)
