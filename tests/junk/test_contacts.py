"""Whom a mailbox wrote to is known from then on, and so are the answers to what it sent."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.ids import new_id
from mailsuite.junk import contacts
from mailsuite.junk.models import Sender
from mailsuite.junk.reputation import standing
from mailsuite.junk.signs import SenderSigns
from mailsuite.trace.models import Story

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
