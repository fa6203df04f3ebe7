"""CREATE, DELETE, RENAME and what a new mailbox has."""

import pytest
from django.utils import timezone

from mailsuite.store import folders
from mailsuite.store.chores import do_chores, next_chore
from mailsuite.store.flags import DELETED
from mailsuite.store.models import Folder, Message
from mailsuite.store.operations import (
    Append,
    AppendItem,
    Copy,
    CreateFolder,
    DeleteFolder,
    Expunge,
    PurgeFolder,
    RenameFolder,
    StoreFlags,
    Subscribe,
)
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute

pytestmark = pytest.mark.django_db(transaction=True)


def names(mailbox):
    return sorted(Folder.objects.filter(mailbox=mailbox, role="").values_list("name", flat=True))


def refused(operation):
    with pytest.raises(Refused) as refusal:
        execute(operation)
    return refusal.value.code


def test_a_new_mailbox_has_its_special_folders(mailbox):
    assert dict(mailbox.folders.values_list("name", "role")) == {
        "INBOX": "inbox",
        "Sent": "sent",
        "Drafts": "drafts",
        "Trash": "trash",
        "Junk": "junk",
        "Archive": "archive",
    }
    assert mailbox.subscriptions.count() == 6
    assert len(set(mailbox.folders.values_list("uid_validity", flat=True))) == 6


def test_names_are_subscribed_once_and_not_without_end(mailbox, monkeypatch):
    monkeypatch.setattr(folders, "MAX_SUBSCRIPTIONS", 8)
    for name in ("gone", "gone", "INBOX", "x" * 1000):
        execute(Subscribe(mailbox.pk, name, on=True))
    assert mailbox.subscriptions.count() == 8
    assert refused(Subscribe(mailbox.pk, "one more", on=True)) == "cannot"
    assert refused(Subscribe(mailbox.pk, "y" * 1001, on=True)) == "invalid"
    execute(Subscribe(mailbox.pk, "gone", on=False))
    execute(Subscribe(mailbox.pk, "one more", on=True))


def test_missing_parents_are_made(mailbox):
    execute(CreateFolder(mailbox.pk, "a/b/c"))
    assert names(mailbox) == ["a", "a/b", "a/b/c"]


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "a\nb", "a\0", "x" * 1001, "/".join("a" * 51)])
def test_names_that_are_none(mailbox, name):
    assert refused(CreateFolder(mailbox.pk, name)) == "invalid"
    assert names(mailbox) == []


def test_a_second_of_the_same_name_is_refused(mailbox):
    execute(CreateFolder(mailbox.pk, "a"))
    assert refused(CreateFolder(mailbox.pk, "a")) == "exists"


def test_a_folder_made_again_has_a_higher_uid_validity(mailbox):
    execute(CreateFolder(mailbox.pk, "a"))
    before = Folder.objects.get(name="a").uid_validity
    execute(DeleteFolder(mailbox.pk, "a"))
    execute(CreateFolder(mailbox.pk, "a"))
    assert Folder.objects.get(name="a").uid_validity > before


def test_a_first_folder_made_again_has_its_special_use_again(mailbox):
    execute(DeleteFolder(mailbox.pk, "Sent"))
    execute(CreateFolder(mailbox.pk, "Sent"))
    assert mailbox.folders.get(name="Sent").role == "sent"
    execute(CreateFolder(mailbox.pk, "Trash/Old"))
    execute(DeleteFolder(mailbox.pk, "Trash"))
    assert mailbox.folders.get(name="Trash").role == ""
    execute(CreateFolder(mailbox.pk, "Trash"))
    assert mailbox.folders.get(name="Trash").role == "trash"
    execute(RenameFolder(mailbox.pk, "Junk", "Spam"))
    execute(CreateFolder(mailbox.pk, "Junk"))
    assert [mailbox.folders.get(name=name).role for name in ("Junk", "Spam")] == ["", "junk"]


def test_deleting_a_folder_with_children_keeps_its_name(mailbox, spooled):
    execute(CreateFolder(mailbox.pk, "a/b"))
    parent = Folder.objects.get(name="a")
    execute(Append(mailbox.pk, parent.pk, [AppendItem(spooled(b"\r\n"), 2)]))
    execute(DeleteFolder(mailbox.pk, "a"))
    assert not Folder.objects.get(name="a").is_selectable
    do_chores(timezone.now())
    assert not Message.objects.exists() and not Folder.objects.exclude(removed_at=None).exists()
    assert refused(DeleteFolder(mailbox.pk, "a")) == "cannot"
    execute(CreateFolder(mailbox.pk, "a"))
    assert Folder.objects.get(name="a").is_selectable


def test_deleting_a_folder_gives_its_octets_back(mailbox, spooled):
    execute(CreateFolder(mailbox.pk, "a"))
    execute(Append(mailbox.pk, Folder.objects.get(name="a").pk, [AppendItem(spooled(b"\r\n"), 2)]))
    execute(DeleteFolder(mailbox.pk, "a"))
    mailbox.usage.refresh_from_db()
    assert (mailbox.usage.used_octets, mailbox.usage.message_count) == (0, 0)


def test_the_inbox_stays(mailbox):
    assert refused(DeleteFolder(mailbox.pk, "INBOX")) == "cannot"


def test_renaming_takes_the_children_along(mailbox):
    execute(CreateFolder(mailbox.pk, "a/b/c"))
    execute(RenameFolder(mailbox.pk, "a/b", "x/y"))
    assert names(mailbox) == ["a", "x", "x/y", "x/y/c"]


@pytest.mark.parametrize(
    ("name", "new_name", "code"),
    [("a", "a/b/c", "cannot"), ("a", "z", "exists"), ("q", "w", "nonexistent"), ("a", "", "invalid")],
)
def test_renames_that_are_refused(mailbox, name, new_name, code):
    execute(CreateFolder(mailbox.pk, "a"))
    execute(CreateFolder(mailbox.pk, "z"))
    assert refused(RenameFolder(mailbox.pk, name, new_name)) == code
    assert names(mailbox) == ["a", "z"]


def test_a_rename_that_would_make_a_childs_name_too_long_changes_nothing(mailbox):
    execute(CreateFolder(mailbox.pk, "a/" + "b" * 500))
    assert refused(RenameFolder(mailbox.pk, "a", "c" * 600)) == "invalid"
    assert names(mailbox) == ["a", "a/" + "b" * 500]


def test_the_inbox_is_not_renamed(mailbox):
    """Its messages are moved instead, in slices: retrieval sees to that."""
    assert refused(RenameFolder(mailbox.pk, "INBOX", "old")) == "cannot"


def test_a_deleted_folder_is_gone_at_once_and_its_rows_some_at_a_time(mailbox, fill, monkeypatch):
    monkeypatch.setattr(folders, "ROWS_AT_ONCE", 3)
    inbox = fill(*[0] * 7)
    execute(CreateFolder(mailbox.pk, "a"))
    folder = Folder.objects.get(name="a")
    execute(Copy(mailbox.pk, inbox.pk, folder.pk, list(range(1, 8)), move=True))
    execute(StoreFlags(mailbox.pk, folder.pk, [1, 2], "add", DELETED))
    execute(Expunge(mailbox.pk, folder.pk, [1, 2]))
    execute(DeleteFolder(mailbox.pk, "a"))
    mailbox.usage.refresh_from_db()
    assert (mailbox.usage.used_octets, mailbox.usage.message_count) == (0, 0)
    assert refused(StoreFlags(mailbox.pk, folder.pk, [3], "add", DELETED)) == "nonexistent"
    execute(CreateFolder(mailbox.pk, "a"))
    left = []
    while isinstance(chore := next_chore(timezone.now()), PurgeFolder):
        execute(chore)
        left.append(folder.messages.count() + folder.tombstones.count())
    assert left == [4, 2, 0, 0] and not Folder.objects.filter(pk=folder.pk).exists()
    assert Folder.objects.get(name="a").is_selectable


def test_many_folders_are_renamed_by_one_statement(mailbox, django_assert_max_num_queries):
    for number in range(30):
        execute(CreateFolder(mailbox.pk, f"a/{number}"))
    with django_assert_max_num_queries(12):
        execute(RenameFolder(mailbox.pk, "a", "b"))
    assert len([name for name in names(mailbox) if name.startswith("b/")]) == 30
