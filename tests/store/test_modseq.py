"""One mod-sequence for a whole mailbox (RFC 7162): what draws from it, and what keeps it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from mailsuite.provisioning.removal import remove_mailbox
from mailsuite.provisioning.restoring import restore_mailbox
from mailsuite.store import flags
from mailsuite.store.chores import do_chores
from mailsuite.store.models import Folder, Message, Tombstone, Usage
from mailsuite.store.operations import (
    Append,
    AppendItem,
    Copy,
    CreateFolder,
    DeleteFolder,
    Expunge,
    RenameFolder,
    StoreFlags,
)
from mailsuite.writer.run import Job, execute, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)
CHANGES = 20


@pytest.fixture(autouse=True)
def the_mailbox_is_never_behind():
    yield
    for usage in Usage.objects.all():
        for folder in Folder.objects.filter(mailbox=usage.mailbox_id):
            assert max(folder.highest_modseq, folder.modseq) <= usage.highest_modseq
            for message in folder.messages.all():
                assert message.created_modseq <= message.modseq <= folder.highest_modseq


def folder(role: str, mailbox_id: int | None = None) -> Folder:
    folders = Folder.objects.filter(role=role)
    return (folders.filter(mailbox=mailbox_id) if mailbox_id else folders).get()


def last(mailbox) -> int:
    return Usage.objects.get(pk=mailbox.pk).highest_modseq


def append(to: Folder, count: int = 1) -> Append:
    items = [AppendItem.carrying(b"Subject: x\r\n\r\n") for _ in range(count)]
    return Append(to.mailbox_id, to.pk, items)


def run_together(*operations):
    jobs = [Job(operation) for operation in operations]
    run_jobs(jobs)
    assert [job.error for job in jobs if job.error] == []
    return [job.answer for job in jobs]


def test_folders_of_a_mailbox_draw_from_one_sequence(mailbox):
    before = last(mailbox)
    execute(append(folder("inbox")))
    execute(append(folder("archive")))
    execute(append(folder("inbox")))
    assert (folder("archive").highest_modseq, folder("inbox").highest_modseq) == (before + 2, before + 3)
    assert last(mailbox) == before + 3
    assert list(Message.objects.order_by("modseq").values_list("modseq", "created_modseq")) == [
        (before + n, before + n) for n in (1, 2, 3)
    ]


def test_all_that_a_batch_does_in_a_mailbox_carries_one(mailbox):
    before = last(mailbox)
    run_together(append(folder("inbox")), append(folder("archive")), append(folder("inbox")))
    assert set(Message.objects.values_list("modseq", flat=True)) == {before + 1} == {last(mailbox)}


def test_a_mailbox_next_door_has_its_own(mailbox, make_mailbox):
    other = make_mailbox("b@example.org")
    before = last(other)
    run_together(append(folder("inbox", mailbox.pk)), append(folder("archive", mailbox.pk)))
    assert last(other) == before
    execute(append(folder("inbox", other.pk)))
    assert folder("inbox", other.pk).highest_modseq == last(other) == before + 1


def test_a_change_keeps_when_the_message_came(fill, mailbox):
    inbox = fill(0)
    created = Message.objects.get().created_modseq
    execute(StoreFlags(mailbox.pk, inbox.pk, [1], "add", flags.SEEN))
    message = Message.objects.get()
    assert (message.created_modseq, message.modseq) == (created, created + 1)


def test_a_move_is_one_change_in_both_folders(fill, mailbox):
    inbox = fill(0)
    was = Message.objects.get()
    execute(Copy(mailbox.pk, inbox.pk, folder("archive").pk, [1], move=True))
    message, tombstone = Message.objects.get(), Tombstone.objects.get()
    assert (message.pk, message.created_modseq, message.modseq) == (was.pk, was.created_modseq, last(mailbox))
    assert folder("inbox").highest_modseq == folder("archive").highest_modseq == last(mailbox) == was.modseq + 1
    assert (tombstone.folder_id, tombstone.uid, tombstone.modseq) == (inbox.pk, 1, last(mailbox))
    assert (tombstone.message_id, tombstone.created_modseq) == (was.pk, was.created_modseq)


def test_a_copy_is_a_new_message(fill, mailbox):
    inbox = fill(0)
    execute(Copy(mailbox.pk, inbox.pk, folder("archive").pk, [1]))
    assert folder("archive").messages.get().created_modseq == last(mailbox) == folder("inbox").highest_modseq + 1


def test_what_is_expunged_leaves_its_id_and_when_it_came(fill, mailbox):
    fill(flags.DELETED)
    inbox = fill(flags.DELETED, 0)
    gone = {m.uid: (m.pk, m.created_modseq) for m in Message.objects.filter(uid__lt=3)}
    answer = execute(Expunge(mailbox.pk, inbox.pk, [1, 2, 3]))
    assert answer.modseq == last(mailbox)
    rows = Tombstone.objects.values_list("uid", "message_id", "created_modseq", "modseq")
    assert {uid: place for uid, *place in rows} == {uid: [*place, answer.modseq] for uid, place in gone.items()}


def test_a_folder_that_is_made_or_named_is_a_change_of_the_mailbox_and_of_no_messages(mailbox):
    before, inbox = last(mailbox), folder("inbox")
    execute(CreateFolder(mailbox.pk, "x/b"))
    assert set(Folder.objects.filter(name__startswith="x").values_list("modseq", flat=True)) == {before + 1}
    execute(RenameFolder(mailbox.pk, "x", "y"))
    moved = Folder.objects.filter(name__startswith="y")
    assert set(moved.values_list("modseq", "highest_modseq")) == {(before + 2, before + 1)}
    execute(DeleteFolder(mailbox.pk, "y"))
    assert Folder.objects.get(name="y").modseq == Folder.objects.exclude(removed_at=None).get().modseq == before + 3
    execute(CreateFolder(mailbox.pk, "y"))
    assert Folder.objects.get(name="y").modseq == last(mailbox) == before + 4
    inbox.refresh_from_db()
    assert (inbox.modseq, inbox.highest_modseq) == (1, 1)


def test_a_deleted_folder_takes_no_number_back(mailbox):
    execute(CreateFolder(mailbox.pk, "a"))
    execute(append(Folder.objects.get(name="a"), 3))
    execute(DeleteFolder(mailbox.pk, "a"))
    before = last(mailbox)
    do_chores(Folder.objects.exclude(removed_at=None).get().removed_at)
    execute(append(folder("inbox")))
    assert folder("inbox").highest_modseq == last(mailbox) == before + 1


def test_a_restored_mailbox_goes_on_where_it_was(fill, mailbox):
    before = fill(0).highest_modseq
    remove_mailbox(mailbox.address)
    restore_mailbox(mailbox.pk)
    execute(append(folder("inbox")))
    assert folder("inbox").highest_modseq == last(mailbox) == before + 1


def test_two_writers_in_two_folders_never_draw_the_same(fill, mailbox):
    inbox = fill(0)
    archive = folder("archive")
    execute(append(archive))
    before = last(mailbox)

    def toggle(place: Folder) -> list[int]:
        try:
            return [
                execute(StoreFlags(mailbox.pk, place.pk, [1], ("add", "remove")[n % 2], flags.SEEN)).changed[0].modseq
                for n in range(CHANGES)
            ]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        drawn = list(pool.map(toggle, [inbox, archive]))
    assert all(modseqs == sorted(modseqs) for modseqs in drawn)
    assert sorted(drawn[0] + drawn[1]) == list(range(before + 1, before + 2 * CHANGES + 1))
    assert last(mailbox) == before + 2 * CHANGES
