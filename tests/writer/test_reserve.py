"""Room for making room: who may use the reserve of a full disk, and what it comes to when there is none."""

import errno
import os
import secrets

import pytest
from django.db import connection

from mailsuite.store import flags
from mailsuite.store.models import Message
from mailsuite.store.operations import Append, AppendItem, Expunge, StoreFlags
from mailsuite.writer import reserve, run
from mailsuite.writer.operation import Refused, StoreUnavailable
from mailsuite.writer.reserve import PIECE_OCTETS, PIECES, Reserve, is_disk_full
from mailsuite.writer.run import Job, execute, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)
MAIL = b"Subject: x\r\n\r\n" + b"x" * 20_000


class SmallDisk(Reserve):
    """SQLite's own limit stands for the disk: each piece that is given up has room for `pages` more."""

    def __init__(self, folder, pages=200):
        super().__init__(folder)
        self.pages, self.released = pages, 0

    def fill(self):
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")  # no page is free within
        self._limit(0)

    def release(self):
        if not super().release():
            return False
        self.released += 1
        self._limit(self.pages)
        return True

    def _limit(self, more):
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + more}")


@pytest.fixture
def disk(tmp_path, monkeypatch):
    made = SmallDisk(tmp_path / "reserve")
    made.make()
    monkeypatch.setattr(run, "reserve", lambda: made)
    yield made
    connection.close()


def item():
    return AppendItem(secrets.token_hex(8), len(MAIL), octets=MAIL)


def test_the_reserve_is_real_room_and_is_given_up_piece_by_piece(tmp_path):
    made = Reserve(tmp_path / "reserve")
    made.make()
    sizes = [entry.stat().st_blocks * 512 for entry in os.scandir(tmp_path / "reserve")]
    assert len(sizes) == PIECES and all(size >= PIECE_OCTETS for size in sizes)
    assert [made.release() for _ in range(PIECES + 1)] == [True] * PIECES + [False]


def test_where_there_is_not_plenty_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(reserve, "PLENTY_OCTETS", 1 << 62)
    Reserve(tmp_path / "reserve").make()
    assert not (tmp_path / "reserve").exists()


@pytest.mark.sqlite_only
def test_who_deletes_has_the_reserve_and_who_files_has_not(fill, disk):
    inbox = fill(*[0] * 30)
    grows = StoreFlags(inbox.mailbox_id, inbox.pk, list(range(1, 31)), "add", flags.DELETED, ["x" * 900])
    files = Append(inbox.mailbox_id, inbox.pk, [item()])
    disk.fill()
    jobs = [Job(files), Job(grows)]
    run_jobs(jobs)
    assert (jobs[0].error.code, jobs[1].error) == ("storage-full", None)
    assert disk.released == 1
    execute(Expunge(inbox.mailbox_id, inbox.pk, list(range(1, 31))))
    assert Message.objects.count() == 0


@pytest.mark.sqlite_only
def test_without_a_reserve_it_is_said_and_nothing_is_half_done(fill, disk):
    inbox = fill(*[0] * 30)
    while disk.release():
        pass
    disk.fill()
    with pytest.raises(StoreUnavailable):
        execute(StoreFlags(inbox.mailbox_id, inbox.pk, list(range(1, 31)), "add", flags.DELETED, ["x" * 900]))
    assert set(Message.objects.values_list("flags", "keywords")) == {(0, "")}


def test_what_is_kept_for_deletions_is_not_filled_with_mail(mailbox, fill, monkeypatch):
    inbox = fill(flags.DELETED)
    monkeypatch.setattr(run, "KEPT_FREE_OCTETS", 1 << 62)
    jobs = [Job(Append(mailbox.pk, inbox.pk, [item()])), Job(Expunge(mailbox.pk, inbox.pk, [1]))]
    run_jobs(jobs)
    assert isinstance(jobs[0].error, Refused) and jobs[0].error.code == "storage-full"
    assert jobs[1].answer.uids == [1]


def test_a_folder_for_blobs_that_can_not_be_made_keeps_nobody_from_deleting(mailbox, fill, monkeypatch):
    inbox = fill(flags.DELETED)

    def full(self, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mailsuite.writer.local_storage.LocalStorage._make_hour", full)
    jobs = [Job(Append(mailbox.pk, inbox.pk, [item()])), Job(Expunge(mailbox.pk, inbox.pk, [1]))]
    run_jobs(jobs)
    assert (jobs[0].error.code, jobs[1].error) == ("storage-full", None)


def test_a_full_disk_is_known_by_whatever_found_it():
    assert is_disk_full(OSError(errno.ENOSPC, "")) and is_disk_full(OSError(errno.EDQUOT, ""))
    wrapped = StoreUnavailable("x")
    wrapped.__cause__ = OSError(errno.ENOSPC, "")
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(errno.EIO, "")) and not is_disk_full(None)
