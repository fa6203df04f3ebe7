"""Leases and results: who may try a recipient, and whose word about it counts."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from mailsuite.queue import services
from mailsuite.queue.models import DeliveryAttempt, QueuedRecipient
from mailsuite.queue.operations import AttemptResult, ClaimDue, RenewClaims, Settle
from mailsuite.store.operations import Deliver
from mailsuite.trace.models import Event
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute


def claim(token, limit=10, lease=1200, busy=()):
    return execute(ClaimDue(token, limit, lease, list(busy)))


def make_due():
    QueuedRecipient.objects.filter(settled_at=None).update(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1))


def result(recipient_id, state="delivered", reply="250 2.0.0 OK", **more):
    return AttemptResult(recipient_id, state, reply, remote_host="mx.remote.test", **more)


def test_a_claim_carries_what_sending_needs(enqueue):
    message = enqueue("bob@remote.test", "cy@remote.test", smtputf8=True, dsn_envid="e1")
    claims = claim("one")
    assert [one.recipient.forward_path for one in claims] == ["bob@remote.test", "cy@remote.test"]
    first = claims[0]
    assert (first.message_id, first.envelope.reverse_path, first.destination) == (
        message.pk,
        "ann@example.org",
        "remote.test",
    )
    assert (first.attempt_count, first.warned, first.envelope.smtputf8, first.envelope.dsn_envid) == (
        1,
        False,
        True,
        "e1",
    )
    assert first.blob == message.content.blob
    assert first.prefix.startswith(b"Received:")


def test_what_one_worker_holds_another_does_not_get(enqueue):
    enqueue("bob@remote.test", "cy@remote.test")
    assert len(claim("one", limit=1)) == 1
    assert len(claim("two")) == 1
    assert claim("three") == []


def test_an_attempt_is_recorded_with_the_claim(enqueue):
    enqueue("bob@remote.test")
    [held] = claim("one")
    attempt = DeliveryAttempt.objects.get(recipient_id=held.recipient_id)
    assert (attempt.token, attempt.ended_at, attempt.outcome) == ("one", None, "")


def test_busy_destinations_are_passed_over(enqueue):
    enqueue("bob@remote.test", "dan@other.test")
    assert [one.destination for one in claim("one", busy=["remote.test"])] == ["other.test"]


def test_held_messages_are_not_claimed(enqueue):
    enqueue("bob@remote.test", hold_reason="looks odd")
    assert claim("one") == []


def test_a_message_held_while_its_worker_died_waits_for_its_release(enqueue):
    held, other = enqueue("bob@remote.test"), enqueue("cy@remote.test")
    claim("one")
    services.hold([held.pk], "stop")
    make_due()
    assert [one.message_id for one in claim("two")] == [other.pk]
    [row] = held.recipients.all()
    assert (row.next_attempt_at, row.claim_token) == (None, "")
    assert row.attempts.get().outcome == "abandoned"
    services.release([held.pk])
    make_due()
    assert held.pk in [one.message_id for one in claim("two")]


def test_only_what_was_never_tried_is_fresh(enqueue):
    enqueue("bob@remote.test")
    [tried] = claim("one")
    make_due()
    fresh = enqueue("cy@remote.test")
    assert [one.message_id for one in execute(ClaimDue("two", 10, 1200, fresh=True))] == [fresh.pk]
    assert [one.recipient_id for one in claim("two")] == [tried.recipient_id]


@pytest.mark.sqlite_only
def test_claims_are_found_by_an_index_of_what_waits(enqueue):
    """However much was settled, a claim looks through what is due alone. PostgreSQL plans by its tables' sizes."""
    plans = []

    def explaining(execute, sql, params, many, context):
        if sql.startswith("SELECT") and "next_attempt_at" in sql.partition(" FROM ")[2]:
            execute("EXPLAIN QUERY PLAN " + sql, params, many, context)
            plans.append(" ".join(row[3] for row in context["cursor"].fetchall()))
        return execute(sql, params, many, context)

    enqueue("bob@remote.test")
    with connection.execute_wrapper(explaining):
        assert execute(ClaimDue("two", 10, 1200, ["remote.test"], fresh=True)) == []
        assert claim("one", busy=["remote.test"]) == []
    assert [plan.split(" (")[0] for plan in plans] == [
        "SEARCH queue_queuedrecipient USING INDEX recipient_fresh",
        "SEARCH queue_queuedrecipient USING INDEX recipient_due",
    ]


def test_a_lease_that_ended_makes_the_recipient_due_again(enqueue):
    enqueue("bob@remote.test")
    [first] = claim("one")
    make_due()
    [second] = claim("two")
    assert (second.recipient_id, second.attempt_count) == (first.recipient_id, 2)
    abandoned, running = DeliveryAttempt.objects.order_by("id")
    assert (abandoned.outcome, running.outcome) == ("abandoned", "")
    assert abandoned.ended_at is not None


def test_results_of_a_lost_lease_are_not_written(enqueue):
    enqueue("bob@remote.test")
    [held] = claim("one")
    make_due()
    claim("two")
    assert execute(Settle("one", [result(held.recipient_id)])) == []
    assert QueuedRecipient.objects.get().state == "queued"
    assert execute(Settle("two", [result(held.recipient_id)])) == [held.recipient_id]
    assert QueuedRecipient.objects.get().state == "delivered"


def test_a_result_counts_after_its_lease_while_nobody_else_took_over(enqueue):
    enqueue("bob@remote.test")
    [held] = claim("one", lease=-5)
    assert execute(Settle("one", [result(held.recipient_id)])) == [held.recipient_id]


def test_the_same_result_counts_once(enqueue):
    enqueue("bob@remote.test")
    [held] = claim("one")
    assert execute(Settle("one", [result(held.recipient_id)])) == [held.recipient_id]
    assert execute(Settle("one", [result(held.recipient_id)])) == []
    assert Event.objects.filter(kind="delivered").count() == 1


def test_the_empty_token_holds_nothing(enqueue):
    message = enqueue("bob@remote.test")
    [recipient] = message.recipients.all()
    assert execute(Settle("", [result(recipient.pk)])) == []


def test_renewing_moves_the_lease_of_those_still_held(enqueue):
    enqueue("bob@remote.test", "cy@remote.test")
    ids = [one.recipient_id for one in claim("one", lease=60)]
    QueuedRecipient.objects.filter(pk=ids[0]).update(claim_token="two")
    assert execute(RenewClaims("one", ids, 3600)) == [ids[1]]
    later = QueuedRecipient.objects.get(pk=ids[1]).next_attempt_at
    assert later > datetime.now(UTC) + timedelta(seconds=3000)


def test_a_lease_given_back_is_due_at_once(enqueue):
    enqueue("bob@remote.test")
    [held] = claim("one")
    execute(RenewClaims("one", [held.recipient_id], 0))
    assert [one.recipient_id for one in claim("two")] == [held.recipient_id]


def test_what_was_not_tried_leaves_no_attempt(enqueue):
    enqueue("bob@remote.test")
    [held] = claim("one")
    execute(RenewClaims("one", [held.recipient_id], 0, untried=True))
    assert not DeliveryAttempt.objects.exists()
    [again] = claim("two")
    assert again.attempt_count == 1


def test_a_message_is_settled_with_its_last_recipient(enqueue):
    message = enqueue("bob@remote.test", "cy@remote.test")
    bob, cy = claim("one")
    execute(Settle("one", [result(bob.recipient_id)]))
    message.refresh_from_db()
    assert message.settled_at is None
    execute(Settle("one", [result(cy.recipient_id, "failed", "550 5.1.1 no")]))
    message.refresh_from_db()
    assert message.settled_at is not None


def test_a_delay_is_written_with_the_next_time_and_told_in_the_story(enqueue):
    message = enqueue("bob@remote.test")
    [held] = claim("one")
    later = datetime.now(UTC) + timedelta(minutes=5)
    said = result(
        held.recipient_id, "queued", "450 4.2.0 busy", next_attempt_at=later, reason="remote-busy", warned=True
    )
    execute(Settle("one", [said]))
    row = QueuedRecipient.objects.get()
    assert (row.state, row.next_attempt_at, row.last_reply, row.claim_token) == ("queued", later, "450 4.2.0 busy", "")
    assert row.warned_at is not None
    event = Event.objects.get(kind="delayed")
    assert (event.story_id, event.address, event.reason) == (message.story_id, "bob@remote.test", "remote-busy")
    assert event.text == "mx.remote.test: 450 4.2.0 busy"
    assert DeliveryAttempt.objects.get().outcome == "delayed"


def test_a_message_held_during_its_attempt_stays_held(enqueue):
    message = enqueue("bob@remote.test")
    [held] = claim("one")
    message.held_at = datetime.now(UTC)
    message.save()
    execute(Settle("one", [result(held.recipient_id, "queued", "450 later", next_attempt_at=datetime.now(UTC))]))
    assert QueuedRecipient.objects.get().next_attempt_at is None


def test_notifications_of_a_lost_lease_are_refused_whole(enqueue):
    enqueue("bob@remote.test", "cy@remote.test")
    bob, cy = claim("one")
    QueuedRecipient.objects.filter(pk=cy.recipient_id).update(claim_token="two")
    story = StoryFacts(77, "notification", "accepted", datetime.now(UTC))
    notification = Deliver.carrying(b"Subject: Not delivered\r\n\r\n", story)
    failed = [result(one.recipient_id, "failed", "550 no") for one in (bob, cy)]
    with pytest.raises(Refused) as refusal:
        execute(Settle("one", failed, [notification]))
    assert refusal.value.code == "lease-lost"
    assert not Event.objects.filter(kind="failed").exists()
    assert QueuedRecipient.objects.filter(settled_at=None).count() == 2
