"""What an administrator may do with queued mail."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections, transaction

from mailsuite.errors import ChangeRefused
from mailsuite.queue import services
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient
from mailsuite.queue.operations import AttemptResult, ClaimDue, Settle
from mailsuite.queue.retention import forget_settled, forget_stories
from mailsuite.trace.models import Event, Story
from mailsuite.writer.run import execute

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def claim(token="worker"):
    return execute(ClaimDue(token, 10, 1200))


def put_off(hours=1):
    """Every recipient has been tried once and waits."""
    later = datetime.now(UTC) + timedelta(hours=hours)
    results = [AttemptResult(one.recipient_id, "queued", "450 busy", next_attempt_at=later) for one in claim()]
    execute(Settle("worker", results))


def events(kind):
    return list(Event.objects.filter(kind=kind).values_list("address", "text"))


def test_retry_makes_it_due_now(enqueue):
    message = enqueue("bob@far.test")
    put_off()
    assert claim() == []
    assert services.retry([message.pk]) == 1
    assert len(claim()) == 1
    assert events("retried") == [("bob@far.test", "due at once")]


def test_hold_and_release(enqueue):
    message = enqueue("bob@far.test")
    assert services.hold([message.pk], "looks like spam") == 1
    assert claim() == []
    with pytest.raises(ChangeRefused, match="release it first"):
        services.retry([message.pk])
    with pytest.raises(ChangeRefused, match="is held"):
        services.hold([message.pk], "again")
    assert services.release([message.pk]) == 1
    assert len(claim()) == 1
    assert events("held") == [("bob@far.test", "looks like spam")]
    assert events("released") == [("bob@far.test", "")]


def test_the_time_for_which_it_was_held_does_not_count(enqueue):
    """Else what is released after a week, and not taken at once, bounces at the first try."""
    message = enqueue("bob@far.test")
    services.hold([message.pk], "by root")
    QueuedMessage.objects.update(held_at=datetime.now(UTC) - timedelta(days=7))
    services.release([message.pk])
    later = QueuedMessage.objects.get().expires_at - message.expires_at
    assert timedelta(days=7) <= later < timedelta(days=7, minutes=5)
    # By a clock that was ahead.
    services.hold([message.pk], "by root")
    QueuedMessage.objects.update(held_at=datetime.now(UTC) + timedelta(days=7))
    services.release([message.pk])
    assert QueuedMessage.objects.get().expires_at - message.expires_at == later


def test_release_of_what_is_not_held(enqueue):
    message = enqueue("bob@far.test")
    with pytest.raises(ChangeRefused, match="is not held"):
        services.release([message.pk])


def test_fail_settles_with_the_name_of_who_did_it(enqueue):
    message = enqueue("bob@far.test", "cy@far.test")
    assert services.fail([message.pk], "the boss") == 1
    message.refresh_from_db()
    assert message.settled_at is not None
    assert {row.state for row in message.recipients.all()} == {"failed"}
    assert events("failed") == [(name, "given up by the boss") for name in ("bob@far.test", "cy@far.test")]


def test_drop_settles_and_tells_nobody(enqueue):
    message = enqueue("bob@far.test")
    assert services.drop([message.pk], "the boss") == 1
    message.refresh_from_db()
    assert message.settled_at is not None
    assert message.recipients.get().state == "dropped"
    assert events("dropped") == [("bob@far.test", "by the boss")]
    assert Story.objects.filter(kind="notification").count() == 0


@pytest.mark.parametrize("verb", [services.fail, services.drop])
def test_what_is_under_way_is_left_to_its_worker(enqueue, verb):
    message = enqueue("bob@far.test")
    [held] = claim()
    with pytest.raises(ChangeRefused, match="under way"):
        verb([message.pk], "the boss")
    execute(Settle("worker", [AttemptResult(held.recipient_id, "delivered", "250 ok")]))
    assert message.recipients.get().state == "delivered"


@pytest.mark.postgresql_only
def test_what_is_being_claimed_at_this_moment_is_under_way(enqueue):
    """Read without a lock it looks idle, and would be dropped though it is sent."""
    message = enqueue("bob@far.test")
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            claim()
            dropping = thread.submit(dropped, message.pk)
            deadline = time.monotonic() + 20
            while not waits_for_a_lock():
                assert time.monotonic() < deadline
        assert "under way" in dropping.result(20)
    assert message.recipients.get().state == "queued"


def dropped(message_id):
    try:
        services.drop([message_id], "the boss")
    except ChangeRefused as error:
        return str(error)
    finally:
        connections.close_all()
    return "dropped"


def waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


def test_a_message_held_amid_its_attempt_waits_after_it(enqueue):
    message = enqueue("bob@far.test")
    [held] = claim()
    services.hold([message.pk], "stop")
    now = datetime.now(UTC)
    execute(Settle("worker", [AttemptResult(held.recipient_id, "queued", "450 busy", next_attempt_at=now)]))
    assert claim() == []
    services.release([message.pk])
    assert len(claim()) == 1


def test_find_and_by_reference(enqueue):
    first, second = enqueue("bob@far.test"), enqueue("cy@other.test", reverse_path="eve@example.net")
    assert list(services.find([])) == [first, second]
    assert list(services.find([first.reference])) == [first]
    assert list(services.find(["bob@far.test"])) == [first]
    assert list(services.find(["other.test"])) == [second]
    assert list(services.find(["@Other.Test."])) == [second]
    assert list(services.find(["EVE@example.net", "cy@other.test"])) == [second]
    assert list(services.find(["bob@far.test", "other.test"])) == []
    third = enqueue("dan@xn--bcher-kva.test", reverse_path="fay@xn--strae-oqa.test")
    assert list(services.find(["BÜCHER.test"])) == list(services.find(["straße.test"])) == [third]
    assert services.by_reference(second.reference) == second
    for unknown in ("nonsense", "0000000000000"):
        with pytest.raises(ChangeRefused, match="no message"):
            services.by_reference(unknown)
    with pytest.raises(ChangeRefused, match="neither"):
        list(services.find(["a b@c"]))


def test_settled_rows_are_forgotten_in_time(enqueue):
    done, waiting = enqueue("bob@far.test"), enqueue("cy@far.test")
    [held] = [one for one in claim() if one.message_id == done.pk]
    execute(Settle("worker", [AttemptResult(held.recipient_id, "delivered", "250 ok")]))
    now = datetime.now(UTC)
    assert forget_settled(now + timedelta(days=13)) == 0
    assert forget_settled(now + timedelta(days=15)) == 1
    assert list(QueuedMessage.objects.all()) == [waiting]
    assert QueuedRecipient.objects.filter(message_id=done.pk).count() == 0
    assert DeliveryAttempt.objects.filter(recipient__message_id=done.pk).count() == 0


@pytest.mark.parametrize("days", [90, 7])
def test_stories_are_forgotten_in_time_but_not_of_mail_that_waits(enqueue, settings, days):
    settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, trace_days=days)
    done, waiting = enqueue("bob@far.test"), enqueue("cy@far.test")
    services.drop([done.pk], "test")
    now = datetime.now(UTC)
    assert forget_stories(now + timedelta(days=days - 1)) == 0
    assert forget_stories(now + timedelta(days=days + 1)) == 1
    assert [story.pk for story in Story.objects.all()] == [waiting.story_id]
    assert not Event.objects.filter(story_id=done.story_id).exists()
