"""Whom a mailbox wrote to is known from then on, and so are the answers to what it sent."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from mailsuite.ids import new_id
from mailsuite.junk import contacts
from mailsuite.junk.models import Progress, Sender
from mailsuite.junk.reputation import standing
from mailsuite.junk.signs import SenderSigns
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.store.operations import Deliver, Outgoing, RemoteRecipient
from mailsuite.trace.models import Story
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.run import execute

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
FRIEND = SenderSigns("friend@far.example", "far.example", "far.example", is_authentic=True)


def send(post, *recipients, message_id="<1@example.org>", kind="submission", **more):
    data = json.dumps({"recipients": list(recipients)})
    return Story.objects.create(
        id=new_id(), kind=kind, outcome="accepted", at=NOW, sender_mailbox=post.mailbox, message_id=message_id,
        data=data, **more,
    )  # fmt: skip


def test_whom_the_mailbox_wrote_to_is_wanted(post, other_post):
    send(post, "Friend@Far.example", "other@far.example")
    assert contacts.learn_submissions(NOW) == 1
    assert standing(post.mailbox.pk, FRIEND).label == "wanted"
    assert standing(other_post.mailbox.pk, FRIEND).label == "unknown"


@pytest.mark.parametrize(
    ("signs", "label"),
    [
        (SenderSigns("friend@far.example", "far.example"), "unknown"),
        (SenderSigns("friend@far.example", "far.example", is_forged=True), "unknown"),
        (SenderSigns("else@far.example", "far.example", is_authentic=True), "unknown"),
        (SenderSigns(replies_to=("<1@example.org>",)), "wanted"),
        (SenderSigns(replies_to=("<x@far.example>", "<1@example.org>")), "wanted"),
        (SenderSigns(replies_to=("<1@example.org>",), is_forged=True), "unknown"),
        (SenderSigns(replies_to=("<2@example.org>",)), "unknown"),
    ],
)
def test_only_what_is_proved_profits(post, signs, label):
    send(post, "friend@far.example")
    contacts.learn_submissions(NOW)
    assert standing(post.mailbox.pk, signs).label == label


def test_what_our_users_sent_is_known_by_its_message_id(post):
    send(post, "list@far.example", from_text="Ann <ann@Example.org>")
    send(post, "list@far.example", from_text="ann@example.org", message_id="<3@example.org>", kind="inbound")
    send(post, "list@far.example", from_text="ann@example.org", message_id="")
    for to in ("far.example", "lists.far.example"):
        assert contacts.was_sent_here("<1@example.org>", "example.org", ["else.example", to])
    assert not contacts.was_sent_here("<1@example.org>", "example.net", ["far.example"])
    # Whom it was not sent to may know its Message-ID all the same.
    assert not contacts.was_sent_here("<1@example.org>", "example.org", ["evil.example", "notfar.example"])
    for unknown in ("<2@example.org>", "<3@example.org>", ""):
        assert not contacts.was_sent_here(unknown, "example.org", ["far.example"])


def test_reading_twice_changes_nothing(post):
    send(post, "friend@far.example")
    contacts.learn_submissions(NOW)
    before = list(Sender.objects.order_by("pk").values())
    assert contacts.learn_submissions(NOW) == 0
    assert list(Sender.objects.order_by("pk").values()) == before


def test_a_story_that_was_committed_late_is_not_overlooked(post):
    early = new_id()
    send(post, "a@far.example")
    contacts.learn_submissions(NOW)
    Story.objects.filter(data__contains="a@far").update(id=early)
    send(post, "friend@far.example")
    Story.objects.filter(data__contains="friend").update(id=early - 1)
    contacts.learn_submissions(NOW)
    assert standing(post.mailbox.pk, FRIEND).label == "wanted"


def test_others_mail_and_mail_to_a_crowd_make_no_contacts(post):
    send(post, "friend@far.example", kind="inbound")
    send(post, *(f"{number}@far.example" for number in range(51)), message_id="")
    contacts.learn_submissions(NOW)
    assert not Sender.objects.exists()


def test_message_ids_are_forgotten_and_contacts_stay(post):
    send(post, "friend@far.example")
    contacts.learn_submissions(NOW)
    assert contacts.forget_unanswered(NOW + timedelta(days=364)) == 0
    assert contacts.forget_unanswered(NOW + timedelta(days=366)) == 1
    assert standing(post.mailbox.pk, FRIEND).label == "wanted"


def submit(post, *recipients):
    """As the submission service files a message to other hosts; nothing has learned of it when this returns."""
    octets = b"Message-ID: <1@example.org>\r\nSubject: a question\r\n\r\n"
    story = StoryFacts(
        new_id(), "submission", "accepted", NOW, sender_mailbox_id=post.mailbox.pk,
        data=json.dumps({"recipients": list(recipients)}),
    )  # fmt: skip
    targets = [RemoteRecipient(EnvelopeRecipient(one), one.partition("@")[2]) for one in recipients]
    envelope = Envelope(post.mailbox.address, expires_at=NOW + timedelta(days=5))
    outgoing = Outgoing(envelope, b"", targets, sender_mailbox_id=post.mailbox.pk)
    execute(Deliver.carrying(octets, story, outgoing=[outgoing]))


ANSWER = SenderSigns(replies_to=("<0@example.org>", "<1@example.org>"))
STRANGER = SenderSigns("else@far.example", "far.example", is_authentic=True, replies_to=("<2@example.org>",))


def test_an_answer_is_known_from_the_instant_that_its_question_was_taken(post, other_post):
    submit(post, "Friend@far.example")
    assert not Sender.objects.exists()
    for signs in (FRIEND, ANSWER):
        found = standing(post.mailbox.pk, signs)
        assert found.label == "wanted"
        assert standing(other_post.mailbox.pk, signs).label == "unknown"
        contacts.learn_submissions(NOW)
        assert standing(post.mailbox.pk, signs) == found
    for signs in (
        STRANGER,
        SenderSigns("friend@far.example", "far.example"),
        SenderSigns(replies_to=("<1@example.org>",), is_forged=True),
    ):
        assert standing(post.mailbox.pk, signs).label == "unknown"


def test_what_was_just_sent_to_a_crowd_makes_no_contact_but_may_be_answered(post):
    submit(post, *(f"{number}@far.example" for number in range(50)), "friend@far.example")
    assert standing(post.mailbox.pk, FRIEND).label == "unknown"
    assert standing(post.mailbox.pk, ANSWER).label == "wanted"


def test_writing_to_somebody_after_calling_him_junk_counts_at_once(post):
    Sender.objects.create(
        mailbox=post.mailbox, rung="from", key="friend@far.example", junked=5,
        judged_at=NOW - timedelta(hours=1), changed_at=NOW,
    )  # fmt: skip
    assert standing(post.mailbox.pk, FRIEND).label == "unwanted"
    submit(post, "friend@far.example")
    assert standing(post.mailbox.pk, FRIEND).label == "wanted"


def test_what_is_forgotten_stays_forgotten_once_it_was_learned(post):
    submit(post, "friend@far.example")
    later = new_id() + (20 * 60_000 << 22)
    Progress.objects.create(name=contacts.PROGRESS, last_id=later)
    assert standing(post.mailbox.pk, FRIEND).label == standing(post.mailbox.pk, ANSWER).label == "unknown"


def test_asking_costs_two_queries_led_by_indexes(post):
    submit(post, "friend@far.example")
    with CaptureQueriesContext(connections["reader"]) as asked:
        standing(post.mailbox.pk, STRANGER)
    assert len(asked) == 2
    if connection.vendor == "sqlite":
        with connections["reader"].cursor() as cursor:
            plan = [row[3] for row in cursor.execute("EXPLAIN QUERY PLAN " + asked.captured_queries[1]["sql"])]
        assert not any(step.startswith("SCAN trace_") for step in plan), plan
        assert all(any(name in step for step in plan) for name in ("story_message_id", "event_address")), plan
