"""The reads themselves: each is bounded, names the mailbox, and passes over what is gone."""

import pytest
from django.db import connection
from open_mailbox import BASE64, MAIL, append

from mailsuite.store import flags, operations
from mailsuite.store.models import Folder, Message
from mailsuite.writer.run import execute
from retrieval.mail_values import Refused
from retrieval.orm import reads

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
STRANGER = -1  # no mailbox has this id


@pytest.fixture
def read(inside):
    """`read(scene, *messages)` files the messages in the inbox, then calls `scene(mailbox_id, folder_id)`."""

    def read(scene, *messages):
        async def run(store, backend):
            mailbox_id = store.principal.mailbox_id
            folder = await store.status("INBOX")
            if messages:
                await append(store, *messages)
            scene(mailbox_id, folder.folder_id)

        inside(run)

    return read


def subscribed(mailbox_id):
    rows = []
    while portion := reads.subscriptions(mailbox_id, rows[-1][0] if rows else 0):
        rows += portion
    return rows


def test_names_come_in_slices_by_id(read, monkeypatch):
    monkeypatch.setattr(reads, "NAME_ROWS", 2)

    def scene(mailbox_id, folder_id):
        names, after, counts = [], 0, []
        while portion := reads.folders(mailbox_id, after):
            names += [folder.name for folder in portion]
            counts.append(len(portion))
            after = portion[-1].folder_id
        assert sorted(names) == ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"] and max(counts) == 2
        before = max(row_id for row_id, _ in subscribed(mailbox_id) or [(0, "")])
        for name in ("a", "b", "c"):
            execute(operations.Subscribe(mailbox_id, name, True))
        first = reads.subscriptions(mailbox_id, before)
        assert [name for _, name in first] == ["a", "b"]
        assert [name for _, name in reads.subscriptions(mailbox_id, first[-1][0])] == ["c"]
        assert reads.folders(STRANGER, 0) == reads.subscriptions(STRANGER, 0) == []

    read(scene)


def test_status_has_the_first_recent_uid_and_recent_are_counted_in_slices(read, monkeypatch):
    monkeypatch.setattr(reads, "COUNTED_ROWS", 2)

    def scene(mailbox_id, folder_id):
        execute(operations.ClaimRecent(mailbox_id, folder_id))
        status = reads.status(mailbox_id, "INBOX")
        assert (status.message_count, status.uid_next, status.recent_count) == (3, 4, 4)
        assert reads.recent(folder_id, 1, 4) == (2, 3) and reads.recent(folder_id, 3, 4) == (1, 4)
        assert reads.recent(folder_id, 4, 4) == (0, 1)
        assert reads.status(mailbox_id, "Nowhere") is None and reads.status(STRANGER, "INBOX") is None

    read(scene, MAIL, MAIL, MAIL)


def test_changes_are_what_is_newer_unless_that_is_more_than_a_slice(read, monkeypatch):
    def scene(mailbox_id, folder_id):
        before = reads.begin_states(mailbox_id, folder_id, 0).highest_modseq
        assert reads.changes_since(mailbox_id, folder_id, before).changed == ()
        execute(operations.StoreFlags(mailbox_id, folder_id, [3, 1], "add", flags.DELETED, ["x"], None))
        execute(operations.Expunge(mailbox_id, folder_id, [3]))
        changes = reads.changes_since(mailbox_id, folder_id, before)
        assert [(state.uid, state.flags, state.keywords) for state in changes.changed] == [(1, flags.DELETED, "x")]
        assert (changes.expunged, changes.uid_next) == ([3], 4) and changes.highest_modseq > before
        assert reads.begin_states(mailbox_id, folder_id, before).expunged == [3]
        monkeypatch.setattr(reads, "STATE_ROWS", 1)
        assert reads.changes_since(mailbox_id, folder_id, before) is None
        for mailbox, folder in ((STRANGER, folder_id), (mailbox_id, 0)):
            with pytest.raises(Refused):
                reads.changes_since(mailbox, folder, 0)
            with pytest.raises(Refused):
                reads.begin_states(mailbox, folder, 0)

    read(scene, MAIL, MAIL, MAIL)


def test_states_come_in_slices_up_to_the_moment_they_began(read, monkeypatch):
    monkeypatch.setattr(reads, "STATE_ROWS", 2)

    def scene(mailbox_id, folder_id):
        assert [state.uid for state in reads.more_states(folder_id, 0, 0, 4)] == [1, 2]
        assert [state.uid for state in reads.more_states(folder_id, 0, 2, 4)] == [3]
        assert [entry.uid for entry in reads.maildrop_entries(mailbox_id, folder_id, 0, 4)] == [1, 2]
        assert [entry.size_octets for entry in reads.maildrop_entries(mailbox_id, folder_id, 2, 4)] == [len(MAIL)]
        assert reads.maildrop_entries(STRANGER, folder_id, 0, 4) == []

    read(scene, MAIL, MAIL, MAIL, MAIL)


@pytest.mark.parametrize("uids", [[1, 2, 3], [1, 3], [2], [1, 2, 3, 4, 5], [1, 5, 9, 400], [3, 1000], [7]])
def test_rows_of_any_uids_are_those_that_are_there(read, uids):
    def scene(mailbox_id, folder_id):
        execute(operations.StoreFlags(mailbox_id, folder_id, [2], "add", flags.DELETED, [], None))
        execute(operations.Expunge(mailbox_id, folder_id, [2]))
        rows = reads.message_rows(mailbox_id, folder_id, uids, ())
        assert [row.uid for row in rows] == [uid for uid in uids if uid in (1, 3, 4)]
        assert all(row.header is None and row.envelope is None and row.parts is None for row in rows)
        assert reads.message_rows(STRANGER, folder_id, uids, ()) == []
        assert reads.message_rows(mailbox_id, 0, uids, ()) == []

    read(scene, MAIL, MAIL, MAIL, MAIL)


def test_a_row_has_the_fields_that_are_asked_for(read):
    def scene(mailbox_id, folder_id):
        (row,) = reads.message_rows(mailbox_id, folder_id, [1], ("envelope", "header"))
        assert row.envelope and row.header == MAIL.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        assert row.body is row.body_structure is row.parts is None
        assert (row.size_octets, row.prefix_octets, row.first_fetched) == (len(MAIL), 0, False)
        assert row.internal_date.utcoffset().total_seconds() == 0 == row.save_date.utcoffset().total_seconds()

    read(scene, MAIL)


def test_what_is_large_is_read_alone(read, monkeypatch):
    large = b"Subject: " + b"x" * 5000 + b"\r\n\r\n"

    def scene(mailbox_id, folder_id):
        monkeypatch.setattr(reads, "LARGE_OCTETS", 2000)
        reads._select.cache_clear()
        small, other = reads.message_rows(mailbox_id, folder_id, [1, 2], ("envelope",))
        assert (small.is_large, other.is_large) == (False, True)
        assert small.envelope and other.envelope is None
        (whole,) = reads.message_rows(mailbox_id, folder_id, [2], ("envelope",))
        assert not whole.is_large and len(whole.envelope) > 5000

    try:
        read(scene, MAIL, large)
    finally:
        reads._select.cache_clear()


def test_octets_places_and_texts_are_of_this_mailbox(read):
    def scene(mailbox_id, folder_id):
        assert reads.octets(folder_id, [1, 2, 9]) == len(MAIL) + len(BASE64)
        ids = dict(Message.objects.values_list("uid", "id"))
        Message.objects.filter(uid=2).update(prefix=b"X: y\r\n")
        places = reads.places(mailbox_id, [ids[1], ids[2], 0])
        assert {message_id: prefix for message_id, (_, prefix) in places.items()} == {ids[1]: b"", ids[2]: b"X: y\r\n"}
        assert reads.places(STRANGER, [ids[1]]) == {}
        assert reads.searchable(mailbox_id, folder_id, [2, 1, 9], "c.subject") == [(1, "Grüße"), (2, "b")]
        assert reads.searchable(STRANGER, folder_id, [1], "c.subject") == []

    read(scene, MAIL, BASE64)


def test_what_left_the_maildrop_is_read_while_it_is_open(read):
    def scene(mailbox_id, folder_id):
        execute(operations.LeaseMaildrop(mailbox_id, "token", 60))
        execute(operations.StoreFlags(mailbox_id, folder_id, [1], "add", flags.DELETED, [], None))
        execute(operations.Expunge(mailbox_id, folder_id, [1]))
        (row,) = reads.expunged_but_open_rows(mailbox_id, 1, ("parts",))
        assert (row.uid, row.size_octets) == (1, len(MAIL)) and row.parts
        assert reads.places(mailbox_id, [row.message_id]).keys() == {row.message_id}
        assert reads.expunged_but_open_rows(STRANGER, 1, ()) == reads.expunged_but_open_rows(mailbox_id, 2, ()) == []

    read(scene, MAIL)


def test_modseqs_of_folders_and_the_version_of_the_data_move_with_a_commit(read):
    def scene(mailbox_id, folder_id):
        before, version = reads.highest_modseqs([folder_id, 0]), reads.data_version()
        assert before.keys() == {folder_id}
        execute(operations.StoreFlags(mailbox_id, folder_id, [1], "add", flags.SEEN, [], None))
        assert reads.highest_modseqs([folder_id])[folder_id] > before[folder_id]
        if connection.vendor == "sqlite":
            assert reads.data_version() != version
        else:
            assert reads.data_version() is version is None
        assert Folder.objects.count() == 6

    read(scene, MAIL)
