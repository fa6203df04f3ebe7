"""MailStore and Directory over the store service (writes) and the reader database (reads).

`Backend` is what a process has once: the service's client, the reader, what tells of changes, leases to renew.
`OrmStore` is one logged-in mailbox's view of it.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, Literal

from mailsuite.directory.authentication import Authentication, authenticate, session_is_valid
from mailsuite.ids import new_id
from mailsuite.mail.folding import folded_field
from mailsuite.store import operations
from mailsuite.writer.operation import ROWS_AT_ONCE, StoreBug
from retrieval.mail_store import (
    FlagMode,
    FolderChanges,
    FolderInfo,
    FolderStatus,
    LeasedMaildrop,
    LoginAnswer,
    MaildropEntry,
    MailStore,
    MessageRow,
    MessageState,
    Principal,
    Refused,
    RowField,
    Spool,
    SpooledMessage,
    StoreUnavailable,
)
from retrieval.orm import reads
from retrieval.orm.backend import LEASE_SECONDS, Backend
from retrieval.orm.blob_reader import read_range
from retrieval.orm.spool import SpoolFile
from retrieval.orm.text_search import Searched, field_text, matching_uids, read_header
from retrieval.pace import STEP_OCTETS
from retrieval.search_budget import SearchBudget

# Messages whose places (blob and prefix) are looked up together.
PLACES = 100
SEARCH_ROWS = 100
# A slice of messages takes about so many octets; how many rows that are shows from the first few on.
ROWS_OCTETS = 4 * 1024 * 1024
FIRST_ROWS = 25
# Where a field's text is kept and at how many characters it was cut.
_COLUMNS = {
    "subject": ("c.subject", 500),
    "from": ("c.from_text", 500),
    "to": ("c.to_text", 1000),
    "cc": ("c.cc_text", 1000),
}
# What a stranger may be told (mailsuite.directory.authentication); anything else is a wrong name or password.
_REASONS = {"too-many-failures": "throttled"}


class OrmDirectory:
    """Directory over mailsuite.directory: one for each process."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def login(
        self, name: str, password: str, *, protocol: Literal["imap", "pop3"], client_address: str
    ) -> tuple[LoginAnswer, MailStore | None]:
        try:
            async with self._backend.login_turn(client_address):
                answer = await self._backend.in_directory(
                    authenticate, name, password, protocol=protocol, client_address=client_address
                )
        except StoreUnavailable:
            return LoginAnswer(None, "unavailable"), None
        await asyncio.sleep(answer.delay_seconds)
        if not answer.succeeded:
            return LoginAnswer(None, _REASONS.get(answer.reason, "wrong")), None
        store = OrmStore(self._backend, answer)
        return LoginAnswer(store.principal), store


class OrmStore:
    """One session's MailStore. Not shared between sessions."""

    def __init__(self, backend: Backend, authentication: Authentication) -> None:
        assert authentication.user_id is not None and authentication.mailbox_id is not None
        self.principal = Principal(
            authentication.user_id, authentication.mailbox_id, authentication.address, authentication.quota_octets
        )
        self._backend, self._authentication = backend, authentication
        self._mailbox_id = authentication.mailbox_id
        self._valid_at: int | None = None
        self._event = asyncio.Event()
        self._watched: int | None = None
        self._slice: Sequence[MessageRow] = ()
        self._places: dict[int, tuple[str, bytes]] = {}

    # Reading

    async def folders(self) -> Sequence[FolderInfo]:
        found: list[FolderInfo] = []
        while True:
            after = found[-1].folder_id if found else 0
            some = await self._backend.reader.run(reads.folders, self._mailbox_id, after)
            found += some
            if len(some) < reads.NAME_ROWS:
                return found
            await asyncio.sleep(0)

    async def subscriptions(self) -> Sequence[str]:
        found: list[tuple[int, str]] = []
        while True:
            after = found[-1][0] if found else 0
            some = await self._backend.reader.run(reads.subscriptions, self._mailbox_id, after)
            found += some
            if len(some) < reads.NAME_ROWS:
                return [name for _, name in found]
            await asyncio.sleep(0)

    async def status(self, name: str) -> FolderStatus | None:
        status = await self._backend.reader.run(reads.status, self._mailbox_id, name)
        return None if status is None else replace(status, recent_count=await self._recent(status))

    async def _recent(self, status: FolderStatus) -> int:
        """How many messages are recent, given a status that has the first uid that is."""
        uid, counted = status.recent_count, 0
        if uid <= 1:
            return status.message_count
        while uid < status.uid_next:
            count, uid = await self._backend.reader.run(reads.recent, status.folder_id, uid, status.uid_next)
            counted += count
            if count < reads.COUNTED_ROWS:
                break
            await asyncio.sleep(0)
        return counted

    async def states(self, folder_id: int, *, since_modseq: int = 0) -> FolderChanges:
        reader = self._backend.reader
        if since_modseq:
            changes = await reader.run(reads.changes_since, self._mailbox_id, folder_id, since_modseq)
            if changes is not None:
                return changes
        start = await reader.run(reads.begin_states, self._mailbox_id, folder_id, since_modseq)
        states: list[MessageState] = []
        while True:
            after = states[-1].uid if states else 0
            some = await reader.run(reads.more_states, folder_id, since_modseq, after, start.uid_next)
            states += some
            if len(some) < reads.STATE_ROWS:
                return FolderChanges(start.highest_modseq, start.uid_next, states, start.expunged)
            await asyncio.sleep(0)

    async def rows(
        self, folder_id: int, uids: Sequence[int], fields: Collection[RowField]
    ) -> AsyncIterator[list[MessageRow]]:
        start, count = 0, min(FIRST_ROWS, reads.MESSAGE_ROWS)
        while start < len(uids):
            some = uids[start : start + count]
            rows = await self._backend.reader.run(reads.message_rows, self._mailbox_id, folder_id, some, fields)
            start += count
            # Rows may be large, and all of a slice are held at once.
            count = min(reads.MESSAGE_ROWS, max(1, count * ROWS_OCTETS // (_octets(rows) + 1)))
            for large, group in groupby(rows, attrgetter("is_large")):
                if large:
                    async for whole in self._whole_rows(folder_id, group, fields):
                        yield whole
                else:
                    self._slice = list(group)
                    yield self._slice
            # Others have their turn, however long the folder.
            await asyncio.sleep(0)

    async def _whole_rows(
        self, folder_id: int, rows: Iterable[MessageRow], fields: Collection[RowField]
    ) -> AsyncIterator[list[MessageRow]]:
        """Each by itself, since one may have megabytes."""
        for row in rows:
            found = await self._backend.reader.run(reads.message_rows, self._mailbox_id, folder_id, [row.uid], fields)
            if found:
                self._slice = found
                yield found
            await asyncio.sleep(0)

    async def octets(self, row: MessageRow, start: int, end: int) -> bytes:
        blob, prefix = await self._place(row)
        octets = await read_range(self._backend.storage, blob, max(0, start - len(prefix)), end - len(prefix))
        return prefix[start:end] + octets if start < len(prefix) else octets

    async def search_text(
        self, folder_id: int, uids: Sequence[int], needle: str, *, where: str, budget: SearchBudget
    ) -> set[int]:
        search = self._search_columns if where in _COLUMNS or where == "bcc" else self._search_blobs
        found, backend, at = set[int](), self._backend, 0
        try:
            while at < len(uids):
                some = uids[at : at + SEARCH_ROWS]
                async with backend.search_turns.turn(self._mailbox_id):
                    matching, last = await backend.reader.run_long(search, folder_id, some, needle, where, budget)
                found |= matching
                at = bisect_right(uids, last, at)
        except asyncio.CancelledError:
            budget.give_up()  # the thread is told by nothing else
            raise
        return found

    # Writing

    async def spool(self) -> Spool:
        return SpoolFile(self._backend.spool_folder, self._backend.octet_budget).open()

    async def append(self, folder_id: int, items: Sequence[SpooledMessage]) -> tuple[int, Sequence[int]]:
        appended = [
            operations.AppendItem(
                *(item.file_name, item.size_octets, item.flags, list(item.keywords), item.internal_date, item.octets)
            )
            for item in items
        ]
        try:
            answer = await self._run(
                operations.Append(self._mailbox_id, folder_id, appended, self.principal.quota_octets)
            )
        finally:
            for item in items:
                if item.octets is None:
                    (self._backend.spool_folder / item.file_name).unlink(missing_ok=True)
        return answer.uid_validity, answer.uids

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        mode: FlagMode,
        flags: int,
        keywords: Sequence[str],
        unchanged_since: int | None,
    ) -> tuple[Sequence[MessageState], Sequence[int]]:
        answer = await self._run(
            operations.StoreFlags(self._mailbox_id, folder_id, list(uids), mode, flags, list(keywords), unchanged_since)
        )
        states = [MessageState(state.uid, state.flags, state.keywords, state.modseq) for state in answer.changed]
        return states, answer.modified

    async def expunge(self, folder_id: int, uids: Sequence[int]) -> Sequence[int]:
        answer = await self._run(operations.Expunge(self._mailbox_id, folder_id, list(uids)))
        removed: list[int] = answer.uids
        return removed

    async def copy(
        self, folder_id: int, uids: Sequence[int], target_id: int, *, move: bool
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        if len(uids) > ROWS_AT_ONCE:
            assert not move  # which is asked for in portions
            return await self._copy_in_slices(folder_id, uids, target_id)
        answer = await self._run(
            operations.Copy(
                *(self._mailbox_id, folder_id, target_id, list(uids), move),
                quota_octets=self.principal.quota_octets,
                message_ids=[] if move else [new_id() for _ in uids],
            )
        )
        return answer.uid_validity, answer.pairs

    async def _copy_in_slices(
        self, folder_id: int, uids: Sequence[int], target_id: int
    ) -> tuple[int, Sequence[tuple[int, int]]]:
        """All or nothing (mailsuite.store.copies): whatever stops it, what was copied is removed again."""
        copy_id, pairs, slices = new_id(), list[tuple[int, int]](), list(_slices(uids, ROWS_AT_ONCE))
        octets, quota = 0, self.principal.quota_octets
        for some in slices:
            octets += await self._backend.reader.run(reads.octets, folder_id, some)
            await asyncio.sleep(0)
        await self._run(operations.BeginCopy(self._mailbox_id, copy_id, target_id, octets, quota))
        try:
            for some in slices:
                copy = operations.Copy(self._mailbox_id, folder_id, target_id, list(some), copy_id=copy_id)
                answer = await self._run(copy)
                pairs += answer.pairs
            await self._end_copy(copy_id)
        except asyncio.CancelledError:
            self._backend.client.send(operations.UndoCopy(self._mailbox_id, copy_id))
            raise
        except Exception:
            await self._undo_copy(copy_id)
            raise
        return answer.uid_validity, pairs

    async def _end_copy(self, copy_id: int) -> None:
        try:
            await self._run(operations.EndCopy(self._mailbox_id, copy_id))
        except StoreUnavailable:  # perhaps the answer alone was lost
            try:
                await self._run(operations.EndCopy(self._mailbox_id, copy_id))
            except StoreUnavailable:
                self._backend.client.withdraw(operations.ReopenCopy(self._mailbox_id, copy_id))
                raise

    async def _undo_copy(self, copy_id: int) -> None:
        """The client is told when all is as it was; if the store is away, it does that when it is back."""
        try:
            while await self._run(operations.UndoCopy(self._mailbox_id, copy_id)):
                continue
        except (StoreUnavailable, Refused, StoreBug):
            return

    async def create_folder(self, name: str, role: str = "") -> None:
        await self._run(operations.CreateFolder(self._mailbox_id, name, role))

    async def delete_folder(self, name: str) -> None:
        await self._run(operations.DeleteFolder(self._mailbox_id, name))

    async def rename_folder(self, name: str, new_name: str) -> None:
        if name != "INBOX":
            await self._run(operations.RenameFolder(self._mailbox_id, name, new_name))
            return
        # INBOX stays, with its children, and gives its messages to a new folder (RFC 3501 §6.3.5).
        inbox = await self.status(name)
        target_id = await self._run(operations.CreateFolder(self._mailbox_id, new_name))
        if inbox is None:
            return
        uids = [state.uid for state in (await self.states(inbox.folder_id)).changed]
        for some in _slices(uids, ROWS_AT_ONCE):
            await self.copy(inbox.folder_id, some, target_id, move=True)

    async def subscribe(self, name: str, *, on: bool) -> None:
        await self._run(operations.Subscribe(self._mailbox_id, name, on))

    async def claim_recent(self, folder_id: int) -> int:
        first: int = await self._run(operations.ClaimRecent(self._mailbox_id, folder_id))
        return first

    async def mark_fetched(self, rows: Sequence[MessageRow], client: str) -> None:
        self._backend.fetched([row.message_id for row in rows if not row.first_fetched], client)

    # Watching

    async def watch(self, folder_id: int | None) -> None:
        if self._watched is not None:
            self._backend.changes.forget(self._watched, self._event)
        self._watched = folder_id
        self._event.clear()
        if folder_id is not None:
            self._backend.changes.watch(folder_id, self._event)

    async def changed(self) -> None:
        await self._event.wait()
        self._event.clear()

    async def still_valid(self) -> bool:
        version = await self._backend.directory_version()
        if version == self._valid_at:
            return True
        if not await self._backend.in_directory(session_is_valid, self._authentication):
            return False
        self._valid_at = version
        return True

    # The maildrop

    async def lease_maildrop(self, token: str) -> LeasedMaildrop:
        """Takes the lock; the backend renews it until it is released."""
        answer = await self._run(operations.LeaseMaildrop(self._mailbox_id, token, LEASE_SECONDS))
        self._backend.leases[token] = self._mailbox_id
        return LeasedMaildrop(answer.folder_id, answer.uid_next, answer.message_count)

    async def maildrop_entries(self, leased: LeasedMaildrop) -> AsyncIterator[list[MaildropEntry]]:
        reader, after_uid = self._backend.reader, 0
        while entries := await reader.run(
            reads.maildrop_entries, self._mailbox_id, leased.folder_id, after_uid, leased.uid_next
        ):
            yield entries
            after_uid = entries[-1].uid
            await asyncio.sleep(0)

    async def maildrop_row(self, folder_id: int, uid: int, fields: Collection[RowField]) -> MessageRow | None:
        reader = self._backend.reader
        rows = await reader.run(reads.message_rows, self._mailbox_id, folder_id, [uid], fields)
        rows = rows or await reader.run(reads.departed_rows, self._mailbox_id, uid, fields)
        return rows[0] if rows else None

    async def release_maildrop(self, token: str) -> None:
        self._backend.leases.pop(token, None)
        await self._run(operations.ReleaseMaildrop(self._mailbox_id, token))

    async def quit_maildrop(self, folder_id: int, token: str, uids: Sequence[int]) -> None:
        """In portions, since the store has others to serve; when the lock is lost between two, the rest stays."""
        for start in range(0, max(1, len(uids)), ROWS_AT_ONCE):
            some, more = (
                list(uids[start : start + ROWS_AT_ONCE]),
                start + ROWS_AT_ONCE < len(uids),
            )
            if not more:
                self._backend.leases.pop(token, None)
            await self._run(operations.QuitMaildrop(self._mailbox_id, folder_id, token, some, more))

    async def _run(self, operation: Any) -> Any:
        return await self._backend.run(operation)

    async def _place(self, row: MessageRow) -> tuple[str, bytes]:
        """Where the message's octets are. Those that were read with it are looked up in the same query."""
        place = self._places.get(row.message_id)
        if place is None:
            following = (other.message_id for other in self._slice if other.uid > row.uid)
            wanted = [row.message_id, *islice(following, PLACES - 1)]
            self._places = await self._backend.reader.run(reads.places, self._mailbox_id, wanted)
            place = self._places.get(row.message_id)
        if place is None:
            raise Refused("nonexistent", "the message is gone")
        return place

    # In the search thread: what was found, and the uid up to which was looked

    def _search_columns(
        self, folder_id: int, uids: Sequence[int], needle: str, where: str, budget: SearchBudget
    ) -> tuple[set[int], int]:
        """Columns are cut at a length; a text that has reached it, and Bcc, is read from the header itself, and that
        from the blob where it is too large for a row."""
        column, cut_at = _COLUMNS.get(where, ("''", 0))
        wanted, found = folded_field(needle), set[int]()
        columns = f"{column}, CASE WHEN LENGTH({column}) >= {cut_at} THEN c.header END, c.blob, c.header_octets"
        with budget.working():
            for uid, text, header, blob, header_octets in reads.searchable(self._mailbox_id, folder_id, uids, columns):
                budget.spend(STEP_OCTETS + (len(text) if len(text) < cut_at else header_octets))
                if len(text) >= cut_at:
                    storage = self._backend.storage
                    block = read_header(storage, blob, header_octets) if header is None else bytes(header)
                    text = f"{text}\n{field_text(block, where)}"
                if wanted in folded_field(text):
                    found.add(uid)
        return found, uids[-1]

    def _search_blobs(
        self, folder_id: int, uids: Sequence[int], needle: str, where: str, budget: SearchBudget
    ) -> tuple[set[int], int]:
        with budget.working():
            rows = reads.searchable(self._mailbox_id, folder_id, uids, "m.prefix, c.blob, c.parts")
            messages = [Searched(uid, bytes(prefix), blob, bytes(parts)) for uid, prefix, blob, parts in rows]
            storage, headers = self._backend.storage, where == "text"
            found, count = matching_uids(storage, messages, needle, headers=headers, budget=budget)
        return found, messages[count - 1].uid if count < len(messages) else uids[-1]


def _slices(uids: Sequence[int], count: int) -> Iterable[Sequence[int]]:
    return (uids[start : start + count] for start in range(0, len(uids), count))


def _octets(rows: Iterable[MessageRow]) -> int:
    """What the rows hold."""
    return sum(
        len(row.header or b"") + len(row.envelope or b"") + len(row.body_structure or b"") + len(row.parts or b"")
        for row in rows
    )
