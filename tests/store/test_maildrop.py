"""The maildrop's lock, and what leaves the inbox while a POP3 session has it open."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from mailsuite.store import departed as kept
from mailsuite.store.departed import DEAD_AFTER, sweep_departed
from mailsuite.store.flags import DELETED
from mailsuite.store.models import DepartedMessage, Folder, MaildropLease, Message, Usage
from mailsuite.store.operations import Copy, Expunge, LeaseMaildrop, QuitMaildrop, ReleaseMaildrop
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute

pytestmark = pytest.mark.django_db(transaction=True)
SERVED = ("mailbox_id", "content_id", "uid", "unique_id", "internal_date", "save_date", "prefix", "size_octets")


@pytest.fixture
def opened(fill, mailbox):
    """The inbox of three messages that are marked as deleted, open in POP3 session "one"."""
    inbox = fill(DELETED, DELETED, DELETED)
    Message.objects.filter(uid=2).update(prefix=b"Return-Path: <>\r\n")
    execute(LeaseMaildrop(mailbox.pk, "one"))
    return inbox


def departed() -> list[int]:
    return list(DepartedMessage.objects.order_by("uid").values_list("uid", flat=True))


def run_out(ago: timedelta = timedelta(seconds=1)) -> None:
    MaildropLease.objects.update(expires_at=datetime.now(UTC) - ago)


def test_only_one_session_holds_the_maildrop(mailbox):
    execute(LeaseMaildrop(mailbox.pk, "one"))
    execute(LeaseMaildrop(mailbox.pk, "one"))
    with pytest.raises(Refused) as refusal:
        execute(LeaseMaildrop(mailbox.pk, "two"))
    assert refusal.value.code == "locked"
    run_out()
    execute(LeaseMaildrop(mailbox.pk, "two"))


def test_of_sessions_that_come_at_once_one_gets_the_maildrop(mailbox):
    """As the store services of several hosts would."""

    def lease(token: str) -> str:
        try:
            execute(LeaseMaildrop(mailbox.pk, token))
            return token
        except Refused as refusal:
            return refusal.code
        finally:
            connection.close()

    for _ in range(10):
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lease, "abcd"))
        assert sorted(answers)[1:] == ["locked"] * 3, answers
        MaildropLease.objects.all().delete()


def test_the_lease_tells_what_the_snapshot_is(fill, mailbox):
    inbox = fill(0, 0)
    answer = execute(LeaseMaildrop(mailbox.pk, "one"))
    assert (answer.folder_id, answer.uid_next, answer.message_count) == (inbox.pk, 3, 2)
    fill(0)
    assert execute(LeaseMaildrop(mailbox.pk, "one", renew=True)).uid_next == 3


def test_a_lease_that_ran_out_is_renewed_unless_another_session_took_it(mailbox):
    execute(LeaseMaildrop(mailbox.pk, "one"))
    run_out()
    execute(LeaseMaildrop(mailbox.pk, "one", renew=True))
    assert MaildropLease.objects.get().expires_at > datetime.now(UTC)
    run_out()
    execute(LeaseMaildrop(mailbox.pk, "two"))
    with pytest.raises(Refused) as refusal:
        execute(LeaseMaildrop(mailbox.pk, "one", renew=True))
    assert refusal.value.code == "lease-lost"
    assert MaildropLease.objects.get().token == "two"


def test_what_was_released_is_not_renewed(mailbox):
    execute(LeaseMaildrop(mailbox.pk, "one"))
    execute(ReleaseMaildrop(mailbox.pk, "one"))
    with pytest.raises(Refused):
        execute(LeaseMaildrop(mailbox.pk, "one", renew=True))
    assert not MaildropLease.objects.exists()


def test_quit_removes_and_unlocks_together(fill, mailbox):
    inbox = fill(0, 0)
    execute(LeaseMaildrop(mailbox.pk, "one"))
    assert execute(QuitMaildrop(mailbox.pk, inbox.pk, "one", [2, 9])).uids == [2]
    assert not MaildropLease.objects.exists()


def test_quit_in_portions_unlocks_with_the_last_and_keeps_nothing(fill, mailbox):
    inbox = fill(0, 0, 0)
    execute(LeaseMaildrop(mailbox.pk, "one"))
    assert execute(QuitMaildrop(mailbox.pk, inbox.pk, "one", [1, 2], more=True)).uids == [1, 2]
    assert MaildropLease.objects.exists() and departed() == []
    assert execute(QuitMaildrop(mailbox.pk, inbox.pk, "one", [3])).uids == [3]
    assert not MaildropLease.objects.exists()
    with pytest.raises(Refused):
        execute(QuitMaildrop(mailbox.pk, inbox.pk, "one", [1], more=True))


def test_quit_without_the_lock_removes_nothing(fill, mailbox):
    inbox = fill(0)
    execute(LeaseMaildrop(mailbox.pk, "two"))
    with pytest.raises(Refused) as refusal:
        execute(QuitMaildrop(mailbox.pk, inbox.pk, "one", [1]))
    assert refusal.value.code == "lease-lost"
    assert Message.objects.count() == 1


def test_what_is_expunged_is_kept_as_it_was_and_counts_no_more(opened, mailbox):
    before = Message.objects.values_list("pk", *SERVED).get(uid=2)
    execute(Expunge(mailbox.pk, opened.pk, [2]))
    after = DepartedMessage.objects.values_list("message_id", *SERVED).get()
    assert [bytes(one) if isinstance(one, memoryview) else one for one in after] == list(before)
    usage = Usage.objects.get(pk=mailbox.pk)
    assert (usage.message_count, usage.used_octets) == (2, 28)


@pytest.mark.parametrize("target", ["Archive", "INBOX"])
def test_what_is_moved_is_kept_and_quit_leaves_it_where_it_is_then(opened, mailbox, target):
    there = Folder.objects.get(name=target)
    execute(Copy(mailbox.pk, opened.pk, there.pk, [1, 3], move=True))
    assert departed() == [1, 3]
    execute(QuitMaildrop(mailbox.pk, opened.pk, "one", [1, 2, 3]))
    assert there.messages.count() == Message.objects.count() == 2
    assert departed() == []


def test_what_is_moved_away_and_back_is_kept_once(opened, mailbox):
    archive = Folder.objects.get(role="archive")
    execute(Copy(mailbox.pk, opened.pk, archive.pk, [1], move=True))
    execute(Copy(mailbox.pk, archive.pk, opened.pk, [1], move=True))
    execute(Expunge(mailbox.pk, opened.pk, [4]))
    assert departed() == [1]


def test_only_what_the_snapshot_shows_is_kept(opened, fill, mailbox, make_mailbox):
    fill(DELETED)
    archive = Folder.objects.get(mailbox=mailbox, role="archive")
    execute(Copy(mailbox.pk, opened.pk, archive.pk, [3], move=True))
    DepartedMessage.objects.all().delete()
    execute(Expunge(mailbox.pk, opened.pk, [4]))
    execute(Expunge(mailbox.pk, archive.pk, [1]))
    assert departed() == []
    execute(ReleaseMaildrop(mailbox.pk, "one"))
    execute(LeaseMaildrop(make_mailbox("b@example.org").pk, "other"))
    execute(Expunge(mailbox.pk, opened.pk, [1, 2]))
    assert departed() == []


@pytest.mark.parametrize("how", ["quit", "release", "next session"])
def test_nothing_is_kept_beyond_the_session(opened, mailbox, how):
    execute(Expunge(mailbox.pk, opened.pk, [2]))
    assert departed() == [2]
    if how == "quit":
        execute(QuitMaildrop(mailbox.pk, opened.pk, "one", [1]))
    elif how == "release":
        execute(ReleaseMaildrop(mailbox.pk, "two"))
        assert departed() == [2]
        execute(ReleaseMaildrop(mailbox.pk, "one"))
    else:
        run_out()
        execute(LeaseMaildrop(mailbox.pk, "two"))
    assert departed() == []


def test_what_is_too_much_for_the_end_of_a_session_is_swept(opened, fill, mailbox, monkeypatch):
    monkeypatch.setattr(kept, "AT_ONCE", 1)
    archive = Folder.objects.get(role="archive")
    execute(Copy(mailbox.pk, opened.pk, archive.pk, [1, 2, 3], move=True))
    execute(ReleaseMaildrop(mailbox.pk, "one"))
    assert len(departed()) == 2
    # A next session may meet the same messages again.
    execute(Copy(mailbox.pk, archive.pk, opened.pk, [1, 2, 3], move=True))
    execute(LeaseMaildrop(mailbox.pk, "two"))
    execute(Expunge(mailbox.pk, opened.pk, [4, 5, 6]))
    assert sweep_departed(datetime.now(UTC)) == 0 and len(departed()) == 5
    execute(ReleaseMaildrop(mailbox.pk, "two"))
    assert sweep_departed(datetime.now(UTC)) == 4 and departed() == []


def test_a_session_whose_store_was_away_goes_on_with_its_snapshot(opened, mailbox):
    run_out(timedelta(minutes=5))
    assert sweep_departed(datetime.now(UTC)) == 0
    execute(Expunge(mailbox.pk, opened.pk, [1]))
    execute(LeaseMaildrop(mailbox.pk, "one", renew=True))
    assert departed() == [1]


def test_dead_leases_end_with_what_was_kept_for_them(opened, mailbox, make_mailbox):
    execute(Expunge(mailbox.pk, opened.pk, [1]))
    run_out(DEAD_AFTER + timedelta(minutes=1))
    execute(LeaseMaildrop(make_mailbox("b@example.org").pk, "other"))
    assert sweep_departed(datetime.now(UTC)) == 1
    assert departed() == [] and MaildropLease.objects.get().token == "other"
