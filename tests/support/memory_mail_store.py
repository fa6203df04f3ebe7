"""A mail store in memory behind the seam of retrieval.mail_store: one MemoryMailbox, any number of sessions on it.

It keeps the promises that sessions rely on: uids only grow, each change draws one modseq, expunged
uids stay as tombstones, `changed` returns when the watched folder has moved. It checks what crosses the seam, too.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailsuite.mail.folding import folded
from mailsuite.mail.header import collect_fields
from mailsuite.mail.message import ParsedMessage, parse_message
from mailsuite.mail.structure import encode_parts
from mailsuite.store.flags import DELETED, SEEN
from retrieval.mail_values import (
    FolderChanges,
    FolderInfo,
    FolderStatus,
    LeasedMaildrop,
    LoginAnswer,
    MaildropEntry,
    MessageRow,
    MessageState,
    Principal,
    Refused,
    RowField,
    SpooledMessage,
    StoreUnavailable,
)
from retrieval.search_budget import SearchBudget

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
ROLES = {"Sent": "sent", "Drafts": "drafts", "Trash": "trash", "Junk": "junk", "Archive": "archive"}
SLICE_ROWS = 3  # small, so that tests cross the border between two slices


@dataclass
class MemoryMessage:
    uid: int
    unique_id: int
    octets: bytes
    prefix: bytes
    parsed: ParsedMessage
    internal_date: datetime
    modseq: int
    flags: int = 0
    keywords: str = ""
    first_fetched: bool = False

    @property
    def served(self) -> bytes:
        return self.prefix + self.octets

    @property
    def state(self) -> MessageState:
        return MessageState(self.uid, self.flags, self.keywords, self.modseq)


@dataclass
class MemoryFolder:
    folder_id: int
    name: str
    role: str
    uid_validity: int
    is_selectable: bool = True
    uid_next: int = 1
    modseq: int = 1
    recent_uid: int = 1
    messages: dict[int, MemoryMessage] = field(default_factory=dict)
    tombstones: dict[int, int] = field(default_factory=dict)

    def draw_modseq(self) -> int:
        self.modseq += 1
        return self.modseq


class MemoryMailbox:
    """What all sessions of one mailbox share. Set `unavailable` to play a store that is away."""

    def __init__(self, address: str = "ann@example.org", password: str = "secret") -> None:
        self.address, self.password = address, password
        self.folders: dict[str, MemoryFolder] = {}
        self.subscriptions: set[str] = set()
        self.sessions: list[MemoryStore] = []
        self.fetched: list[tuple[int, str]] = []
        self.spools: set[MemorySpool] = set()
        self.unavailable = False
        self.quota_octets = 10**9
        self._next_id = 1000
        for name in ("INBOX", *ROLES):
            self.add_folder(name, ROLES.get(name, "inbox" if name == "INBOX" else ""))

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def add_folder(self, name: str, role: str = "") -> MemoryFolder:
        folder = MemoryFolder(self.new_id(), name, role, self.new_id())
        self.folders[name] = folder
        return folder

    def deliver(
        self,
        octets: bytes,
        *,
        folder: str = "INBOX",
        flags: int = 0,
        keywords: str = "",
        internal_date: datetime = NOW,
        prefix: bytes = b"",
    ) -> int:
        """File a message; returns its uid."""
        target = self.folders[folder]
        message = MemoryMessage(
            target.uid_next,
            self.new_id(),
            octets,
            prefix,
            parse_message(octets),
            internal_date,
            target.draw_modseq(),
            flags,
            keywords,
        )
        target.messages[message.uid] = message
        target.uid_next += 1
        self.touched(target)
        return message.uid

    def touched(self, *folders: MemoryFolder) -> None:
        for session in self.sessions:
            if session.watched in [folder.folder_id for folder in folders]:
                session.has_changed.set()

    def folder(self, folder_id: int) -> MemoryFolder:
        for folder in self.folders.values():
            if folder.folder_id == folder_id:
                return folder
        raise Refused("nonexistent", "There is no such folder")


class MemoryStore:
    """One session's MailStore."""

    def __init__(self, mailbox: MemoryMailbox) -> None:
        self.mailbox = mailbox
        self.principal = Principal(1, 1, mailbox.address, mailbox.quota_octets)
        self.watched: int | None = None
        self.has_changed = asyncio.Event()
        self.revoked = False
        mailbox.sessions.append(self)

    def _up(self) -> MemoryMailbox:
        if self.mailbox.unavailable:
            raise StoreUnavailable("the store is away")
        return self.mailbox

    async def folders(self) -> Sequence[FolderInfo]:
        return [
            FolderInfo(folder.folder_id, folder.name, folder.role, folder.is_selectable)
            for folder in self._up().folders.values()
        ]

    async def subscriptions(self) -> Sequence[str]:
        return sorted(self._up().subscriptions)

    async def status(self, name: str) -> FolderStatus | None:
        folder = self._up().folders.get(name)
        if folder is None or not folder.is_selectable:
            return None
        messages = folder.messages.values()
        return FolderStatus(
            folder_id=folder.folder_id,
            uid_validity=folder.uid_validity,
            uid_next=folder.uid_next,
            highest_modseq=folder.modseq,
            message_count=len(messages),
            unseen_count=sum(not message.flags & SEEN for message in messages),
            deleted_count=sum(bool(message.flags & DELETED) for message in messages),
            recent_count=sum(message.uid >= folder.recent_uid for message in messages),
            size_octets=sum(len(message.served) for message in messages),
        )

    async def states(self, folder_id: int, *, since_modseq: int = 0) -> FolderChanges:
        folder = self._up().folder(folder_id)
        changed = [message.state for _, message in sorted(folder.messages.items()) if message.modseq > since_modseq]
        expunged = sorted(uid for uid, modseq in folder.tombstones.items() if modseq > since_modseq)
        return FolderChanges(folder.modseq, folder.uid_next, changed, expunged)

    async def rows(
        self, folder_id: int, uids: Sequence[int], fields: Collection[RowField]
    ) -> AsyncIterator[list[MessageRow]]:
        assert list(uids) == sorted(set(uids)), "uids cross the seam ascending, each once"
        messages = self._up().folder(folder_id).messages
        found = [uid for uid in uids if uid in messages]
        for start in range(0, len(found), SLICE_ROWS):
            yield [_row(messages[uid], fields) for uid in found[start : start + SLICE_ROWS] if uid in messages]

    async def octets(self, row: MessageRow, start: int, end: int) -> bytes:
        for folder in self._up().folders.values():
            for message in folder.messages.values():
                if message.unique_id == row.message_id:
                    return message.served[start:end]
        raise StoreUnavailable("the blob is gone")

    async def search_text(
        self, folder_id: int, uids: Sequence[int], needle: str, *, where: str, budget: SearchBudget
    ) -> set[int]:
        budget.check()
        messages = self._up().folder(folder_id).messages
        return {uid for uid in uids if uid in messages and folded(needle) in folded(_text(messages[uid], where))}

    async def spool(self) -> "MemorySpool":
        return MemorySpool(self._up())

    async def append(self, folder_id: int, items: Sequence[SpooledMessage]) -> tuple[int, Sequence[int]]:
        folder = self._up().folder(folder_id)
        used = sum(len(m.served) for each in self.mailbox.folders.values() for m in each.messages.values())
        if used + sum(item.size_octets for item in items) > self.mailbox.quota_octets:
            raise Refused("over-quota", "The mailbox is full")
        uids = [
            self.mailbox.deliver(
                item.spool.encode("latin-1"),
                folder=folder.name,
                flags=item.flags,
                keywords=" ".join(sorted(item.keywords)),
                internal_date=item.internal_date or NOW,
            )
            for item in items
        ]
        return folder.uid_validity, uids

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        mode: str,
        flags: int,
        keywords: Sequence[str],
        unchanged_since: int | None,
    ) -> tuple[Sequence[MessageState], Sequence[int]]:
        folder = self._up().folder(folder_id)
        messages = [folder.messages[uid] for uid in uids if uid in folder.messages]
        modseq = folder.draw_modseq()
        for message in messages:
            old = message.flags, message.keywords
            words = set(message.keywords.split())
            if mode == "add":
                message.flags, words = message.flags | flags, words | set(keywords)
            elif mode == "remove":
                message.flags, words = message.flags & ~flags, words - set(keywords)
            else:
                message.flags, words = flags, set(keywords)
            message.keywords = " ".join(sorted(words))
            if old != (message.flags, message.keywords):
                message.modseq = modseq
        self.mailbox.touched(folder)
        return [message.state for message in messages], []

    async def expunge(self, folder_id: int, uids: Sequence[int]) -> Sequence[int]:
        folder = self._up().folder(folder_id)
        gone = [uid for uid, message in folder.messages.items() if message.flags & DELETED and uid in set(uids)]
        self._remove(folder, gone)
        return gone

    async def copy(
        self, folder_id: int, uids: Sequence[int], target_id: int, *, move: bool
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        folder, target = self._up().folder(folder_id), self.mailbox.folder(target_id)
        pairs = []
        for uid in [uid for uid in uids if uid in folder.messages]:
            message = folder.messages[uid]
            there = self.mailbox.deliver(
                message.octets,
                folder=target.name,
                flags=message.flags,
                keywords=message.keywords,
                internal_date=message.internal_date,
                prefix=message.prefix,
            )
            pairs.append((uid, there))
        if move:
            self._remove(folder, [uid for uid, _ in pairs])
        return target.uid_validity, pairs

    def _remove(self, folder: MemoryFolder, uids: Sequence[int]) -> None:
        modseq = folder.draw_modseq()
        for uid in uids:
            del folder.messages[uid]
            folder.tombstones[uid] = modseq
        self.mailbox.touched(folder)

    async def create_folder(self, name: str, role: str = "") -> None:
        if name in self._up().folders:
            raise Refused("exists", "There is such a folder already")
        parts = name.split("/")
        for count in range(1, len(parts)):
            parent = "/".join(parts[:count])
            if parent not in self.mailbox.folders:
                self.mailbox.add_folder(parent)
        self.mailbox.add_folder(name, role)

    async def delete_folder(self, name: str) -> None:
        folder = self._up().folders.get(name)
        if folder is None:
            raise Refused("nonexistent", "There is no such folder")
        has_children = any(other.startswith(name + "/") for other in self.mailbox.folders)
        if has_children and not folder.is_selectable:
            raise Refused("cannot", "The folder holds others")
        del self.mailbox.folders[name]
        self.mailbox.touched(folder)
        if has_children:
            self.mailbox.add_folder(name).is_selectable = False

    async def rename_folder(self, name: str, new_name: str) -> None:
        folders = self._up().folders
        if name not in folders:
            raise Refused("nonexistent", "There is no such folder")
        if new_name in folders:
            raise Refused("exists", "There is such a folder already")
        if name == "INBOX":
            await self.create_folder(new_name)
            inbox = folders["INBOX"]
            await self.copy(inbox.folder_id, sorted(inbox.messages), folders[new_name].folder_id, move=True)
            return
        for old in [old for old in folders if old == name or old.startswith(name + "/")]:
            folder = folders.pop(old)
            folder.name = new_name + old[len(name) :]
            folders[folder.name] = folder

    async def subscribe(self, name: str, *, on: bool) -> None:
        (self._up().subscriptions.add if on else self._up().subscriptions.discard)(name)

    async def claim_recent(self, folder_id: int) -> int:
        folder = self._up().folder(folder_id)
        first, folder.recent_uid = folder.recent_uid, folder.uid_next
        return first

    async def mark_fetched(self, rows: Sequence[MessageRow], client: str) -> None:
        for row in rows:
            assert not row.first_fetched
            self.mailbox.fetched.append((row.uid, client))
            for folder in self.mailbox.folders.values():
                for message in folder.messages.values():
                    message.first_fetched |= message.unique_id == row.message_id

    async def watch(self, folder_id: int | None) -> None:
        self.watched = folder_id
        self.has_changed.clear()

    async def changed(self) -> None:
        await self.has_changed.wait()
        self.has_changed.clear()

    async def lease_maildrop(self, token: str) -> LeasedMaildrop:
        """Nobody else wants it."""
        inbox = self._up().folders["INBOX"]
        return LeasedMaildrop(inbox.folder_id, inbox.uid_next, len(inbox.messages))

    async def maildrop_entries(self, leased: LeasedMaildrop) -> AsyncIterator[list[MaildropEntry]]:
        for message in self._up().folder(leased.folder_id).messages.values():
            yield [MaildropEntry(message.uid, len(message.served), message.unique_id)]

    async def maildrop_row(self, folder_id: int, uid: int, fields: Collection[RowField]) -> MessageRow | None:
        raise NotImplementedError

    async def release_maildrop(self, token: str) -> None:
        """Nobody else wants it."""

    async def quit_maildrop(self, folder_id: int, token: str, uids: Sequence[int]) -> None:
        raise NotImplementedError

    async def still_valid(self) -> bool:
        return not self.revoked


class MemorySpool:
    def __init__(self, mailbox: MemoryMailbox) -> None:
        self.mailbox, self.chunks = mailbox, list[bytes]()
        mailbox.spools.add(self)

    async def write(self, chunk: bytes) -> None:
        if self.mailbox.unavailable:
            raise StoreUnavailable("the store is away")
        self.chunks.append(chunk)

    async def finish(self, flags: int, keywords: Sequence[str], internal_date: datetime | None) -> SpooledMessage:
        self.mailbox.spools.discard(self)
        octets = b"".join(self.chunks)
        return SpooledMessage(octets.decode("latin-1"), len(octets), flags, keywords, internal_date)

    async def discard(self) -> None:
        self.mailbox.spools.discard(self)


class MemoryDirectory:
    """Knows one mailbox. `reason` refuses every login with that word."""

    def __init__(self, mailbox: MemoryMailbox) -> None:
        self.mailbox, self.reason = mailbox, ""
        self.asked: list[tuple[str, str]] = []

    async def login(
        self, name: str, password: str, *, protocol: str, client_address: str
    ) -> tuple[LoginAnswer, MemoryStore | None]:
        self.asked.append((name, password))
        if self.reason:
            return LoginAnswer(None, self.reason), None
        if (name, password) != (self.mailbox.address, self.mailbox.password):
            return LoginAnswer(None, "wrong"), None
        store = MemoryStore(self.mailbox)
        return LoginAnswer(store.principal), store


def _row(message: MemoryMessage, fields: Collection[RowField]) -> MessageRow:
    parsed = message.parsed
    header = message.prefix + message.octets[: parsed.header_octets]
    ready: dict[RowField, bytes] = {
        "envelope": parsed.envelope_structure,
        "body_structure": parsed.body_structure,
        "body": parsed.body,
        "parts": encode_parts(parsed.parts),
    }
    if len(header) <= 16 * 1024:
        ready["header"] = header
    return MessageRow(
        uid=message.uid,
        message_id=message.unique_id,
        content_id=message.unique_id,
        unique_id=message.unique_id,
        thread_id=1,
        internal_date=message.internal_date,
        save_date=message.internal_date,
        size_octets=len(message.served),
        prefix_octets=len(message.prefix),
        first_fetched=message.first_fetched,
        **{name: value for name, value in ready.items() if name in fields},
    )


def _text(message: MemoryMessage, where: str) -> str:
    parsed = message.parsed
    if where == "bcc":
        return b" ".join(collect_fields(message.octets[: parsed.header_octets]).get(b"bcc", [])).decode(
            errors="replace"
        )
    known = {"subject": parsed.subject, "from": parsed.from_text, "to": parsed.to_text, "cc": parsed.cc_text}
    if where in known:
        return known[where]
    start = parsed.header_octets if where == "body" else 0
    return message.octets[start:].decode(errors="replace")
