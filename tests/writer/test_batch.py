"""One transaction of the writer: rows gather until they are wanted, locks are written at the end, time is one."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from django.db import IntegrityError, transaction

from mailsuite.database.sql import INSERTS, row_of
from mailsuite.ids import new_id
from mailsuite.store.models import OrphanBlob
from mailsuite.trace.models import RefusalCount
from mailsuite.writer import batch as module
from mailsuite.writer import registry
from mailsuite.writer.batch import Batch, database_clock
from mailsuite.writer.operation import Ping

pytestmark = pytest.mark.django_db


class OrphanRow(NamedTuple):
    id: int
    name: str
    marked_at: object


@pytest.fixture(autouse=True)
def known():
    row_of(OrphanBlob)(OrphanRow)
    yield
    del INSERTS[OrphanRow]


@pytest.fixture
def locks(monkeypatch):
    """What was locked and finished, in order, by two apps that registered in the other order."""
    told = []

    def make(name):
        class Made:
            def __init__(self, batch, operations):
                told.append((name, "locked", len(operations)))
                self.name = name

            def finish(self):
                told.append((name, "finished", OrphanBlob.objects.count()))

        return Made

    late, early = make("late"), make("early")
    monkeypatch.setattr(registry, "LOCKS", [])
    registry.register_locks(20, late)
    registry.register_locks(10, early)
    monkeypatch.setattr(module, "LOCKS", registry.LOCKS)
    return told, late


def orphan(batch, name):
    return OrphanRow(new_id(), name, batch.now_value)


def test_rows_are_written_when_they_are_wanted_and_at_the_end():
    batch = Batch()
    for name in "ab":
        batch.insert(orphan(batch, name))
    assert not OrphanBlob.objects.exists()
    batch.flush()
    assert set(OrphanBlob.objects.values_list("name", flat=True)) == {"a", "b"}
    batch.insert(orphan(batch, "c"))
    batch.finish()
    assert OrphanBlob.objects.count() == 3


def test_all_rows_have_the_same_time_and_it_is_the_databases():
    before = database_clock()
    batch = Batch()
    batch.insert(orphan(batch, "a"))
    batch.finish()
    [marked_at] = OrphanBlob.objects.values_list("marked_at", flat=True)
    assert marked_at == batch.now >= before - timedelta(microseconds=1)
    assert abs(marked_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_apps_lock_in_one_order_and_write_what_they_have_locked_after_the_rows(locks):
    told, late = locks
    batch = Batch()
    batch.lock([Ping(), Ping()])
    assert batch.locked(late).name == "late"
    batch.insert(orphan(batch, "a"))
    batch.finish()
    assert told == [("early", "locked", 2), ("late", "locked", 2), ("early", "finished", 1), ("late", "finished", 1)]
    with pytest.raises(KeyError):
        batch.locked(late)  # it is over


def test_a_row_that_can_not_be_written_stops_the_batch():
    batch = Batch()
    batch.insert(orphan(batch, "a"))
    batch.insert(orphan(batch, "a"))  # its name is unique
    with pytest.raises(IntegrityError), transaction.atomic():
        batch.finish()
    assert not OrphanBlob.objects.exists()


def test_there_is_nothing_to_write_without_rows(django_assert_num_queries):
    batch = Batch()
    with django_assert_num_queries(0):
        batch.flush()
        batch.finish()
    assert not RefusalCount.objects.exists() and (batch.hints, batch.queued) == (set(), False)
