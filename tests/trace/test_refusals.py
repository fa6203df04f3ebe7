"""Refusals are gathered for a second; of many alike some are told and the others counted."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from msgspec.structs import replace

from mailsuite.ids import reference
from mailsuite.trace import refusals
from mailsuite.trace.models import RefusalCount, Story
from mailsuite.trace.operations import TellStory
from mailsuite.trace.refusals import FLUSH_SECONDS, STORIES_A_FLUSH, STORIES_A_MINUTE, RefusalBuffer

NETWORK = "192.0.2.0/24"


@pytest.fixture
def buffer(db):
    return RefusalBuffer()


@pytest.fixture
def refuse(buffer, facts):
    """Adds one refusal at a second of the buffer's clock."""

    def add(now=0.0, network=NETWORK, count=1, minutes=0, reason="banned"):
        story = facts("refused", reason=reason, client_name="mx.far.example")
        story = replace(story, at=story.at + timedelta(minutes=minutes))
        buffer.add(TellStory(story, network, count), now)
        return story

    return add


def counts():
    return sorted(RefusalCount.objects.values_list("network", "reason", "count"))


class TestTime:
    def test_nothing_is_due_before_there_is_anything(self, buffer):
        buffer.flush(1000.0)
        assert buffer.due is None and not Story.objects.exists()

    def test_the_first_sets_the_time_and_later_ones_do_not_move_it(self, buffer, refuse):
        refuse(5.0)
        refuse(5.9)
        assert buffer.due == 5.0 + FLUSH_SECONDS
        buffer.flush(5.99)
        assert not Story.objects.exists()
        buffer.flush(6.0)
        assert Story.objects.count() == 2 and buffer.due is None


class TestMany:
    def test_beyond_some_a_minute_they_are_one_row_with_a_count(self, buffer, refuse):
        stories = [refuse() for _ in range(STORIES_A_MINUTE + 7)]
        buffer.flush(FLUSH_SECONDS)
        assert set(Story.objects.values_list("pk", flat=True)) == {one.story_id for one in stories[:STORIES_A_MINUTE]}
        assert counts() == [(NETWORK, "banned", 7)]
        example = RefusalCount.objects.get().example
        assert example.startswith(f"{reference(stories[STORIES_A_MINUTE].story_id)} mx.far.example")

    def test_the_minute_goes_on_in_the_next_flush(self, buffer, refuse):
        for flush in range(3):
            for _ in range(STORIES_A_MINUTE):
                refuse(float(flush))
            buffer.flush(flush + FLUSH_SECONDS)
        assert Story.objects.count() == STORIES_A_MINUTE
        assert counts() == [(NETWORK, "banned", 2 * STORIES_A_MINUTE)] and RefusalCount.objects.count() == 1

    @pytest.mark.parametrize("other", [{"network": "198.51.100.0/24"}, {"reason": "greylisted"}, {"minutes": 1}])
    def test_another_network_reason_or_minute_has_stories_of_its_own(self, buffer, refuse, other):
        for _ in range(STORIES_A_MINUTE):
            refuse()
            refuse(**other)
        buffer.flush(FLUSH_SECONDS)
        assert Story.objects.count() == 2 * STORIES_A_MINUTE and counts() == []

    def test_a_flush_writes_no_more_than_its_share(self, buffer, refuse):
        for number in range(STORIES_A_FLUSH + 5):
            refuse(network=f"10.0.{number}.0/24")
        buffer.flush(FLUSH_SECONDS)
        assert Story.objects.count() == STORIES_A_FLUSH and RefusalCount.objects.count() == 5

    def test_what_was_counted_before_is_counted_as_many_times(self, buffer, refuse):
        refuse(count=40)
        refuse(count=2)
        buffer.flush(FLUSH_SECONDS)
        assert not Story.objects.exists() and counts() == [(NETWORK, "banned", 42)]


def test_what_the_database_does_not_take_is_lost_and_said(buffer, refuse, monkeypatch, caplog):
    """An attack must not gather in memory while the database is away."""

    def away(*rows):
        raise DatabaseError("away")

    with monkeypatch.context() as broken:
        broken.setattr(refusals, "_write", away)
        for _ in range(STORIES_A_MINUTE + 3):
            refuse()
        buffer.flush(FLUSH_SECONDS)
    assert f"{STORIES_A_MINUTE + 3} refusals could not be written: away" in caplog.text
    assert buffer.due is None
    later = refuse(2.0, minutes=1)
    buffer.flush(3.0)
    assert list(Story.objects.values_list("pk", flat=True)) == [later.story_id] and counts() == []
