"""What IMAP does to messages that are there: flags, copies, moves; how they go is in mailsuite.store.expunging."""

from collections.abc import Sequence
from typing import Any

from mailsuite.ids import new_id
from mailsuite.mail.junk_keywords import JUNK, said_by_keywords, said_by_move
from mailsuite.store import copies, departed, flags, hooks, moved
from mailsuite.store.expunging import check_count
from mailsuite.store.filing import insert_message
from mailsuite.store.flags import MAX_KEYWORDS_OCTETS
from mailsuite.store.locked import FolderRow, locked
from mailsuite.store.models import Message
from mailsuite.store.operations import (
    ClaimRecent,
    Copy,
    CopyAnswer,
    FlagState,
    MarkFetched,
    StoreFlags,
    StoreFlagsAnswer,
)
from mailsuite.store.rows import TombstoneRow
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.telling import insert_event
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Refused
from mailsuite.writer.wire import MAX_FRAME

# What a message's state takes in an answer beside its keywords, at most.
STATE_OCTETS = 40
COPIED = "content_id, flags, keywords, internal_date, prefix, size_octets, created_modseq, story_id, uid"


def store_flags(batch: Batch, op: StoreFlags) -> StoreFlagsAnswer:
    folder = locked(batch).folder(op.mailbox_id, op.folder_id)
    check_count(op.uids)
    rows = locked(batch).messages(folder.id, op.uids, "id, uid, flags, keywords, modseq, content_id, story_id")
    combined = [_combine(op, row[2], row[3]) for row in rows]
    # Before anything is changed: refusals share a transaction with what others asked for.
    if any(len(words) > max(MAX_KEYWORDS_OCTETS, len(row[3])) for row, (_, words) in zip(rows, combined, strict=True)):
        raise Refused("limit", f"the keywords of a message take at most {MAX_KEYWORDS_OCTETS} octets")
    if sum(len(words) for _, words in combined) + STATE_OCTETS * len(rows) > MAX_FRAME:
        raise Refused("limit", "this is too much to be done at once")
    changed, spared, updates = [], [], []
    for row, (new_bits, new_keywords) in zip(rows, combined, strict=True):
        row_id, uid, bits, keywords, modseq, content_id, story_id = row
        if op.unchanged_since is not None and modseq > op.unchanged_since:
            spared.append(uid)
            continue
        if (new_bits, new_keywords) != (bits, keywords):
            modseq = locked(batch).modseq(folder)
            updates.append((new_bits, new_keywords, modseq, row_id))
            if new_keywords != keywords and (word := said_by_keywords(keywords, new_keywords)):
                _judge(batch, op.mailbox_id, content_id, story_id, word)
            folder.unseen_count += bool(bits & flags.SEEN) - bool(new_bits & flags.SEEN)
            folder.deleted_count += bool(new_bits & flags.DELETED) - bool(bits & flags.DELETED)
        changed.append(FlagState(uid, new_bits, new_keywords, modseq))
    if updates:
        batch.cursor.executemany(
            "UPDATE store_message SET flags = %s, keywords = %s, modseq = %s WHERE id = %s", updates
        )
    return StoreFlagsAnswer(changed, spared)


def _combine(op: StoreFlags, bits: int, keywords: str) -> tuple[int, str]:
    """Keywords are equal whatever their case; the spelling that was there first stays (RFC 3501 §2.3.2)."""
    if op.mode == "replace":
        old = {word.lower(): word for word in keywords.split()}
        return op.flags, _join({word.lower(): old.get(word.lower(), word) for word in op.keywords})
    held = {word.lower(): word for word in keywords.split()}
    if op.mode == "add":
        return bits | op.flags, _join({word.lower(): word for word in op.keywords} | held) if op.keywords else keywords
    for word in op.keywords:
        held.pop(word.lower(), None)
    return bits & ~op.flags, _join(held) if op.keywords else keywords


def _join(words: dict[str, str]) -> str:
    return " ".join(word for _, word in sorted(words.items()))


def copy(batch: Batch, op: Copy) -> CopyAnswer:
    source, target = (
        locked(batch).folder(op.mailbox_id, op.folder_id),
        locked(batch).folder(op.mailbox_id, op.target_id),
    )
    check_count(op.uids)
    rows = locked(batch).messages(source.id, op.uids, f"id, {COPIED}")
    word = said_by_move(source.role, target.role)
    if op.move:
        _judge_all(batch, op, rows, word)
        return CopyAnswer(target.uid_validity, move(batch, source, target, rows))
    octets, first_uid = sum(row[6] for row in rows), target.uid_next
    if op.copy_id:
        copies.note_slice(batch, op, octets, first_uid, len(rows))
    elif op.quota_octets and locked(batch).usage[op.mailbox_id].used_octets + octets > op.quota_octets:
        raise Refused("over-quota", "the mailbox is full")
    _judge_all(batch, op, rows, word)
    ids = dict(zip(op.uids, op.message_ids, strict=False))
    return CopyAnswer(target.uid_validity, [_copy_one(batch, target, row, ids.get(row[-1])) for row in rows])


def _judge_all(batch: Batch, op: Copy, rows: Sequence[tuple[Any, ...]], word: str) -> None:
    """What a way out of Junk or into it says is learned, and stands in the messages' stories."""
    if not word:
        return
    for _, content_id, *_, story_id, _ in rows:
        _judge(batch, op.mailbox_id, content_id, story_id, word)
    moved.tell(batch, op, [story_id for *_, story_id, _ in rows if story_id], into_junk=word == JUNK)


def _judge(batch: Batch, mailbox_id: int, content_id: int, story_id: int | None, word: str) -> None:
    """Tells what the owner said of a message."""
    for heard in hooks.HEARD:
        heard(batch, mailbox_id, content_id, story_id, word)


def _copy_one(batch: Batch, target: FolderRow, row: tuple[Any, ...], row_id: int | None) -> tuple[int, int]:
    _, content_id, bits, keywords, internal_date, prefix, size, _, story_id, old_uid = row
    prefix = bytes(prefix)
    uid = insert_message(
        *(batch, target, content_id, size - len(prefix), prefix, bits, keywords, story_id),
        internal_date=internal_date,
        row_id=row_id or 0,
    )
    return old_uid, uid


def move(batch: Batch, source: FolderRow, target: FolderRow, rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, int]]:
    """Rows go over as they are, so that their unique_ids stay; the places that they leave become tombstones. Answers
    pairs of uid here and there."""
    pairs, updates = [], []
    departed.keep(batch, source, [row[0] for row in rows])
    for row_id, _, bits, _, _, _, size, created_modseq, _, old_uid in rows:
        uid = target.draw_uid()
        source.count(bits, size, -1)
        target.count(bits, size)
        modseq = locked(batch).modseq(source)
        batch.insert(TombstoneRow(new_id(), source.id, old_uid, modseq, row_id, created_modseq))
        updates.append((target.id, uid, locked(batch).modseq(target), batch.now_value, row_id))
        pairs.append((old_uid, uid))
    if updates:
        batch.cursor.executemany(
            "UPDATE store_message SET folder_id = %s, uid = %s, modseq = %s, save_date = %s WHERE id = %s", updates
        )
    return pairs


def claim_recent(batch: Batch, op: ClaimRecent) -> int:
    folder = locked(batch).folder(op.mailbox_id, op.folder_id)
    first = folder.recent_uid
    if folder.recent_uid != folder.uid_next:
        folder.recent_uid = folder.uid_next
        batch.cursor.execute("UPDATE store_folder SET recent_uid = %s WHERE id = %s", [folder.uid_next, folder.id])
    return first


def mark_fetched(batch: Batch, op: MarkFetched) -> None:
    fresh = Message.objects.filter(pk__in=op.message_ids[:1000], first_fetched_at=None)
    rows = list(fresh.values_list("pk", "story_id", "mailbox__address", "mailbox__domain_id", "mailbox_id"))
    Message.objects.filter(pk__in=[row[0] for row in rows]).update(first_fetched_at=batch.now)
    for _, story_id, address, domain_id, mailbox_id in rows:
        if story_id:
            insert_event(batch, story_id, EventFacts("fetched", address, "", op.text, domain_id, mailbox_id))
