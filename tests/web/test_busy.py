"""A page that can't write now says so, and that nothing was done; no bug is claimed and nothing hangs."""

import errno

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction

from mailsuite.database import patience
from mailsuite.database.patience import WriterBusy
from mailsuite.directory.models import Domain, User
from mailsuite.web import middleware
from mailsuite.writer.operation import StoreUnavailable

PASSWORD = "correct horse battery"


@pytest.fixture
def administrator(client, directory):
    client.force_login(User.objects.get(email="admin@localhost"))
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("error", [WriterBusy("held"), StoreUnavailable("away")])
def test_a_page_that_has_no_turn_says_so(administrator, monkeypatch, error):
    def no_turn(*args, **kwargs):
        raise error

    monkeypatch.setattr(transaction.Atomic, "__enter__", no_turn)
    answer = administrator.post("/admin/directory/domain/add/", {"name": "example.net"})
    monkeypatch.undo()
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert b"was not done" in answer.content
    assert not Domain.objects.filter(name="example.net").exists()


@pytest.mark.parametrize(("pieces", "words"), [(1, b"send it again"), (0, b"make room on the server")])
def test_a_full_disk_is_said_and_the_next_try_has_a_piece_of_the_reserve(administrator, monkeypatch, pieces, words):
    def full(*args, **kwargs):
        raise OperationalError("database or disk is full") from OSError(errno.ENOSPC, "")

    class Kept:
        left = pieces

        def release(self):
            self.left -= 1
            return self.left >= 0

    monkeypatch.setattr(middleware, "reserve", Kept)
    monkeypatch.setattr(transaction.Atomic, "__enter__", full)
    answer = administrator.post("/admin/directory/domain/add/", {"name": "example.net"})
    monkeypatch.undo()
    assert answer.status_code == 503 and b"The disk is full" in answer.content and words in answer.content


def test_other_errors_of_the_database_stay_bugs(administrator, monkeypatch):
    def bug(*args, **kwargs):
        return connection.cursor().execute("SELECT * FROM no_such_table")

    monkeypatch.setattr(transaction.Atomic, "__enter__", bug)
    assert administrator.post("/admin/directory/domain/add/", {"name": "example.net"}).status_code == 500


@pytest.mark.postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_lock_that_another_session_holds_is_busy(monkeypatch):
    monkeypatch.setattr(patience, "BRIEF_SECONDS", 0.05)
    other = connections.create_connection("default")
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE directory_domain IN ACCESS EXCLUSIVE MODE")
    try:
        with pytest.raises(DatabaseError) as busy, patience.brief_transaction():
            Domain.objects.count()
    finally:
        other.close()
    assert patience.is_busy(busy.value)
