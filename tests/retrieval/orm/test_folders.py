"""Folders over the real database: names, counts, a new name for the inbox."""

import pytest
from open_mailbox import MAIL, append, noting

from mailsuite.store import flags, operations
from retrieval.mail_values import Refused
from retrieval.orm import reads

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def test_folders_and_status(inside):
    async def scene(store, backend):
        await store.create_folder("Work/Deep")
        names = {folder.name for folder in await store.folders()}
        assert {"INBOX", "Sent", "Work", "Work/Deep"} <= names
        await store.subscribe("Work", on=True)
        assert "Work" in await store.subscriptions()
        await append(store, MAIL, MAIL, name="Work", bits=flags.SEEN)
        status = await store.status("Work")
        assert (status.message_count, status.unseen_count, status.recent_count, status.uid_next) == (2, 0, 2, 3)
        assert status.size_octets == 2 * len(MAIL)
        assert await store.claim_recent(status.folder_id) == 1
        assert (await store.status("Work")).recent_count == 0
        assert await store.status("Nothing") is None
        with pytest.raises(Refused, match="already"):
            await store.create_folder("Work")
        await store.rename_folder("Work", "Play")
        assert await store.status("Work") is None and await store.status("Play") is not None
        await store.delete_folder("Play/Deep")
        with pytest.raises(Refused):
            await store.delete_folder("Play/Deep")

    inside(scene)


def test_many_names_and_recent_messages_are_read_in_slices(inside, monkeypatch):
    monkeypatch.setattr(reads, "NAME_ROWS", 4)
    monkeypatch.setattr(reads, "COUNTED_ROWS", 3)

    async def scene(store, backend):
        for number in range(5):
            await store.create_folder(f"F{number}")
            await store.subscribe(f"S{number}", on=True)
        first = {"INBOX", "Sent", "Drafts", "Trash", "Junk", "Archive"}
        assert {folder.name for folder in await store.folders()} == first | {f"F{number}" for number in range(5)}
        assert set(await store.subscriptions()) == first | {f"S{number}" for number in range(5)}
        folder_id, uids = await append(store, *[b"Subject: x\r\n\r\n"] * 2)
        assert (await store.status("INBOX")).recent_count == 2
        await store.claim_recent(folder_id)
        assert (await store.status("INBOX")).recent_count == 0
        for count in (1, 3, 4, 7):
            await append(store, *[b"Subject: x\r\n\r\n"] * count)
            assert (await store.status("INBOX")).recent_count == count
            await store.claim_recent(folder_id)

    inside(scene)


def test_renaming_the_inbox_moves_its_messages_in_slices(inside, monkeypatch):
    monkeypatch.setattr("retrieval.orm.store.ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        asked = noting(backend)
        await store.rename_folder("INBOX", "Old/2026")
        assert [len(op.uids) for op in asked if isinstance(op, operations.Copy)] == [2, 2, 1]
        inbox, old = await store.status("INBOX"), await store.status("Old/2026")
        assert (inbox.folder_id, inbox.message_count, old.message_count) == (folder_id, 0, 5)
        with pytest.raises(Refused) as refused:
            await store.rename_folder("INBOX", "Old")
        assert refused.value.code == "exists"

    inside(scene)


def test_folder_that_is_gone(inside):
    async def scene(store, backend):
        await store.create_folder("Work")
        status = await store.status("Work")
        await store.delete_folder("Work")
        assert await store.status("Work") is None
        with pytest.raises(Refused):
            await store.states(status.folder_id)

    inside(scene)
