"""The write lock: whoever waits for it gives up in time, says who held it, and leaves nothing locked."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest
from django.db import connection, transaction

from mailsuite.database import patience, write_lock
from mailsuite.database.patience import WriterBusy, brief_transaction

pytestmark = [pytest.mark.sqlite_only]

HOLDER = """
import sys
from mailsuite.database.write_lock import acquire
acquire(sys.argv[1], 1.0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold():
    """`hold(path)` is another process that has the lock, until the test ends."""
    holders = []

    def hold(path) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLDER, str(path)]
        holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert holders[-1].stdout.readline() == "held\n"
        return holders[-1]

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_waiting_ends_and_names_the_holder(hold, tmp_path, caplog):
    path = tmp_path / "write.lock"
    holder = hold(path)
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(WriterBusy, match=f"process {holder.pid} "):
        write_lock.acquire(str(path), 0.05)
    assert f"process {holder.pid} (" in caplog.text


def test_whoever_gave_up_lets_go_of_what_it_gets_later(hold, tmp_path):
    path = tmp_path / "write.lock"
    holder = hold(path)
    for _ in range(3):
        with pytest.raises(WriterBusy):
            write_lock.acquire(str(path), 0.01)
    holder.kill()
    holder.wait()
    # Behind the three, whose turns come first.
    write_lock.release(write_lock.acquire(str(path), 20.0))
    for thread in threading.enumerate():
        if thread.name == "write-lock":
            thread.join(20)
    assert write_lock._abandoned == 0


def test_who_waits_in_vain_is_not_many_threads(hold, tmp_path, monkeypatch):
    monkeypatch.setattr(write_lock, "MAX_ABANDONED", 2)
    path = tmp_path / "write.lock"
    holder, before = hold(path), threading.active_count()
    for _ in range(6):
        with pytest.raises(WriterBusy):
            write_lock.acquire(str(path), 0.01)
    assert threading.active_count() - before == 2
    holder.kill()
    write_lock.release(write_lock.acquire(str(path), 20.0))


def test_those_who_wait_have_their_turns(hold, tmp_path):
    path = str(tmp_path / "write.lock")
    descriptor, got = write_lock.acquire(path, 1.0), []
    waiting = [threading.Thread(target=lambda: got.append(write_lock.acquire(path, 20.0))) for _ in range(2)]
    for thread in waiting:
        thread.start()
    write_lock.release(descriptor)
    for count in (1, 2):
        while len(got) < count:
            waiting[0].join(0.01)
        write_lock.release(got[-1])


def test_a_copy_that_a_forked_child_has_keeps_nothing_locked(tmp_path):
    path = str(tmp_path / "write.lock")
    descriptor = write_lock.acquire(path, 1.0)
    copy = os.dup(descriptor)
    write_lock.release(descriptor)
    with open(path) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(copy)


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_no_turn_changes_nothing_and_the_next_one_works(hold, monkeypatch):
    monkeypatch.setattr(patience._Patience, "seconds", 0.05)
    monkeypatch.setattr(patience, "BRIEF_SECONDS", 0.05)
    holder = hold(os.path.join(os.path.dirname(connection.settings_dict["NAME"]), "write.lock"))
    for begin in (transaction.atomic, brief_transaction):
        with pytest.raises(WriterBusy) as busy, begin():
            pytest.fail("it was not our turn")
        assert patience.is_busy(busy.value)
    holder.kill()
    holder.wait()
    monkeypatch.undo()
    with transaction.atomic():
        assert connection.in_atomic_block
