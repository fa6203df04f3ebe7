"""What the retrieval services read from the database: short queries by the `reader` alias, plain values out.

Synchronous. SQL is written out, since these are the statements whose time users feel: the ORM would build thousands
of objects to throw away. Each reads a bounded number of rows, so that neither the event loop nor SQLite's checkpoint
waits. Every statement names the mailbox: an id that came from elsewhere opens nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connections, transaction

from mailsuite.database.sql import placeholders
from mailsuite.database.threads import READER
from retrieval.mail_values import (
    FolderChanges,
    FolderInfo,
    FolderStatus,
    MaildropEntry,
    MessageRow,
    MessageState,
    Refused,
    RowField,
)

# Rows of a slice: what takes some milliseconds at most.
STATE_ROWS = 1_000
NAME_ROWS = 500
COUNTED_ROWS = 20_000
MESSAGE_ROWS = 125
# What of a row may be larger than this is read of one message at a time: those of a slice are held together.
LARGE_OCTETS = 16 * 1024

_LARGE_COLUMNS: tuple[RowField, ...] = ("envelope", "body_structure", "body", "parts")
_INTERNAL_DATE, _SAVE_DATE, _HEADER = map(MessageRow._fields.index, ("internal_date", "save_date", "header"))


def folders(mailbox_id: int, after_id: int) -> list[FolderInfo]:
    """The next slice by id; less than NAME_ROWS at the end."""
    rows = _query(
        "SELECT id, name, role, is_selectable FROM store_folder WHERE mailbox_id = %s AND id > %s"
        " AND removed_at IS NULL ORDER BY id LIMIT %s",
        [mailbox_id, after_id, NAME_ROWS],
    )
    return [FolderInfo(folder_id, name, role, bool(selectable)) for folder_id, name, role, selectable in rows]


def subscriptions(mailbox_id: int, after_id: int) -> list[tuple[int, str]]:
    """The next slice by id, (id, name) each; less than NAME_ROWS at the end."""
    return _query(
        "SELECT id, name FROM store_subscription WHERE mailbox_id = %s AND id > %s ORDER BY id LIMIT %s",
        [mailbox_id, after_id, NAME_ROWS],
    )


def recent(folder_id: int, from_uid: int, before_uid: int) -> tuple[int, int]:
    """How many messages have these uids, of at most COUNTED_ROWS; and the uid behind the last that was counted."""
    rows = _query(
        "SELECT COUNT(*), MAX(uid) FROM (SELECT uid FROM store_message"
        " WHERE folder_id = %s AND uid >= %s AND uid < %s ORDER BY uid LIMIT %s) counted",
        [folder_id, from_uid, before_uid, COUNTED_ROWS],
    )
    count, last = rows[0]
    return count, (last or 0) + 1


def status(mailbox_id: int, name: str) -> FolderStatus | None:
    """With the first uid that is recent in the place of their number."""
    rows = _query(
        "SELECT id, uid_validity, uid_next, highest_modseq, message_count, unseen_count, deleted_count, recent_uid,"
        " size_octets FROM store_folder WHERE mailbox_id = %s AND name = %s AND is_selectable",
        [mailbox_id, name],
    )
    if not rows:
        return None
    folder_id, validity, uid_next, modseq, count, unseen, deleted, recent_uid, size_octets = rows[0]
    return FolderStatus(folder_id, validity, uid_next, modseq, count, unseen, deleted, recent_uid, size_octets)


@transaction.atomic(using=READER)
def changes_since(mailbox_id: int, folder_id: int, modseq: int) -> FolderChanges | None:
    """What is newer than `modseq`; None when that is more than a slice. Refused when the folder is gone."""
    highest_modseq, uid_next = _folder(mailbox_id, folder_id)
    if highest_modseq <= modseq:
        return FolderChanges(highest_modseq, uid_next, (), ())
    # Unsorted, so that SQLite goes by the index on modseq and not through the whole folder by uid.
    changed = _query(
        "SELECT uid, flags, keywords, modseq FROM store_message WHERE folder_id = %s AND modseq > %s LIMIT %s",
        [folder_id, modseq, STATE_ROWS],
    )
    if len(changed) == STATE_ROWS:
        return None
    states = sorted(map(MessageState._make, changed))
    return FolderChanges(highest_modseq, uid_next, states, _expunged(folder_id, modseq))


@transaction.atomic(using=READER)
def begin_states(mailbox_id: int, folder_id: int, modseq: int) -> FolderChanges:
    """The moment that a reading by `more_states` starts from: what changes while it goes on is newer than this."""
    highest_modseq, uid_next = _folder(mailbox_id, folder_id)
    return FolderChanges(highest_modseq, uid_next, (), _expunged(folder_id, modseq) if modseq else ())


def more_states(folder_id: int, modseq: int, after_uid: int, uid_next: int) -> list[MessageState]:
    """The next slice by uid; less than STATE_ROWS at the end."""
    rows = _query(
        "SELECT uid, flags, keywords, modseq FROM store_message"
        " WHERE folder_id = %s AND uid > %s AND uid < %s AND modseq > %s ORDER BY uid LIMIT %s",
        [folder_id, after_uid, uid_next, modseq, STATE_ROWS],
    )
    return list(map(MessageState._make, rows))


def maildrop_entries(mailbox_id: int, folder_id: int, after_uid: int, uid_next: int) -> list[MaildropEntry]:
    """The next slice by uid; less than STATE_ROWS at the end."""
    rows = _query(
        "SELECT uid, size_octets, unique_id FROM store_message"
        " WHERE mailbox_id = %s AND folder_id = %s AND uid > %s AND uid < %s ORDER BY uid LIMIT %s",
        [mailbox_id, folder_id, after_uid, uid_next, STATE_ROWS],
    )
    return list(map(MaildropEntry._make, rows))


def message_rows(
    mailbox_id: int, folder_id: int, uids: Sequence[int], fields: Collection[RowField]
) -> list[MessageRow]:
    """The rows of these ascending uids that are still there; at most MESSAGE_ROWS. Of several, those with something
    larger than LARGE_OCTETS have `is_large` set and must be asked for alone."""
    select = _select(frozenset(fields), is_sqlite=_is_sqlite(), whole=len(uids) == 1)
    select += " WHERE m.mailbox_id = %s AND m.folder_id = %s"
    first, last = uids[0], uids[-1]
    if last - first < 2 * len(uids):
        rows = _query(f"{select} AND m.uid BETWEEN %s AND %s ORDER BY m.uid", [mailbox_id, folder_id, first, last])
        if last - first + 1 != len(uids):
            wanted = set(uids)
            rows = [row for row in rows if row[0] in wanted]
    else:
        rows = _query(f"{select} AND m.uid IN ({placeholders(uids)}) ORDER BY m.uid", [mailbox_id, folder_id, *uids])
    return _made(rows)


def expunged_but_open_rows(mailbox_id: int, uid: int, fields: Collection[RowField]) -> list[MessageRow]:
    """The message, if it has left the inbox and is kept for the POP3 session that shows it."""
    select = _select(frozenset(fields), is_sqlite=_is_sqlite(), whole=True, expunged_but_open=True)
    return _made(_query(f"{select} WHERE m.mailbox_id = %s AND m.uid = %s", [mailbox_id, uid]))


def octets(folder_id: int, uids: Sequence[int]) -> int:
    """How many octets these ascending uids' messages have together."""
    rows = _query(
        "SELECT COALESCE(SUM(size_octets), 0) FROM store_message"
        f" WHERE folder_id = %s AND uid IN ({placeholders(uids)})",
        [folder_id, *uids],
    )
    return int(rows[0][0])


def places(mailbox_id: int, message_ids: Sequence[int]) -> dict[int, tuple[str, bytes]]:
    """Where the octets of these messages are: the blob's name and the prefix that stands in front."""
    rows = _query(
        "SELECT m.id, c.blob, m.prefix FROM store_message m JOIN store_content c ON c.id = m.content_id"
        f" WHERE m.mailbox_id = %s AND m.id IN ({placeholders(message_ids)})",
        [mailbox_id, *message_ids],
    )
    if len(rows) < len(message_ids):
        rows += _query(
            "SELECT m.message_id, c.blob, m.prefix"
            " FROM store_departedmessage m JOIN store_content c ON c.id = m.content_id"
            f" WHERE m.mailbox_id = %s AND m.message_id IN ({placeholders(message_ids)})",
            [mailbox_id, *message_ids],
        )
    return {message_id: (blob, bytes(prefix)) for message_id, blob, prefix in rows}


def searchable(mailbox_id: int, folder_id: int, uids: Sequence[int], columns: str) -> list[tuple[Any, ...]]:
    """uid and the named columns of message (m) and content (c), ascending by uid."""
    return _query(
        f"SELECT m.uid, {columns} FROM store_message m JOIN store_content c ON c.id = m.content_id"
        f" WHERE m.mailbox_id = %s AND m.folder_id = %s AND m.uid IN ({placeholders(uids)}) ORDER BY m.uid",
        [mailbox_id, folder_id, *uids],
    )


def highest_modseqs(folder_ids: Sequence[int]) -> dict[int, int]:
    """The highest modseq of each folder that is still there, by its id."""
    return dict(
        _query(f"SELECT id, highest_modseq FROM store_folder WHERE id IN ({placeholders(folder_ids)})", folder_ids)
    )


def data_version() -> int | None:
    """A number that changes when another connection has committed; None where the database has none to offer."""
    if not _is_sqlite():
        return None
    version: int = _query("PRAGMA data_version", ())[0][0]
    return version


def _folder(mailbox_id: int, folder_id: int) -> tuple[int, int]:
    rows = _query(
        "SELECT highest_modseq, uid_next FROM store_folder WHERE id = %s AND mailbox_id = %s AND is_selectable",
        [folder_id, mailbox_id],
    )
    if not rows:
        raise Refused("nonexistent", "the folder is gone")
    highest_modseq, uid_next = rows[0]
    return highest_modseq, uid_next


def _expunged(folder_id: int, modseq: int) -> list[int]:
    rows = _query("SELECT uid FROM store_tombstone WHERE folder_id = %s AND modseq > %s", [folder_id, modseq])
    return [uid for (uid,) in rows]


def _query(sql: str, parameters: Sequence[int | str]) -> list[tuple[Any, ...]]:
    with connections[READER].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


@lru_cache(maxsize=64)
def _select(fields: frozenset[RowField], *, is_sqlite: bool, whole: bool, expunged_but_open: bool = False) -> str:
    """SELECT whose columns are MessageRow's, in their order; which rows, m, is for the caller to add. Unless `whole`
    nothing larger than LARGE_OCTETS is read: its length is known without that."""
    table, message_id = ("store_departedmessage", "message_id") if expunged_but_open else ("store_message", "id")
    # SQLite keeps datetimes as text in UTC; as an expression they escape Django's converters, which are slow.
    moment = "m.{} || '+00:00'" if is_sqlite else "m.{}"
    asked = [name for name in _LARGE_COLUMNS if name in fields]
    kept = "c.{0}" if whole else f"CASE WHEN LENGTH(c.{{0}}) <= {LARGE_OCTETS} THEN c.{{0}} END"
    *ready, parts = [kept.format(name) if name in asked else "NULL" for name in _LARGE_COLUMNS]
    large = " OR ".join(f"LENGTH(c.{name}) > {LARGE_OCTETS}" for name in asked)
    is_large = "1 = 0" if whole or not asked else f"({large})"
    header = "m.prefix, c.header" if "header" in fields else "NULL, NULL"
    return (
        f"SELECT m.uid, m.{message_id}, m.content_id, m.unique_id, c.thread_id,"
        f" {moment.format('internal_date')}, {moment.format('save_date')}, m.size_octets,"
        f" m.size_octets - c.size_octets, m.first_fetched_at IS NOT NULL, {', '.join(ready)}, NULL, {parts},"
        f" {is_large}, {header}"
        f" FROM {table} m JOIN store_content c ON c.id = m.content_id"
    )


def _made(rows: Sequence[tuple[Any, ...]]) -> list[MessageRow]:
    """The rows by columns, so that no Python runs for each of them but for what must be converted."""
    if not rows:
        return []
    given = list(zip(*rows, strict=True))
    columns: list[Iterable[Any]] = list(given[: len(MessageRow._fields)])
    if _is_sqlite():
        columns[_INTERNAL_DATE] = map(datetime.fromisoformat, given[_INTERNAL_DATE])
        columns[_SAVE_DATE] = map(datetime.fromisoformat, given[_SAVE_DATE])
    columns[_HEADER] = map(_joined, *given[-2:])
    return list(map(MessageRow, *columns))


def _joined(prefix: bytes | None, header: bytes | None) -> bytes | None:
    return None if prefix is None or header is None else prefix + header


def _is_sqlite() -> bool:
    return connections[READER].vendor == "sqlite"
