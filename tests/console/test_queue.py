"""The queue's buttons and actions, as a superuser and as a domain administrator press them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from mailsuite.directory.models import Alias, Domain, Mailbox
from mailsuite.ids import new_id
from mailsuite.provisioning import services
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient
from mailsuite.store.models import Content
from mailsuite.store.operations import KEPT
from mailsuite.trace.models import Event, Story

NOW = datetime.now(UTC)


@pytest.fixture
def message(domains):
    """A message of mine.example that waits for its next attempt."""
    content = Content.objects.create(
        blob="b", size_octets=1, header_octets=1, received_at=NOW, envelope=b"", body_structure=b"", body=b"",
        parts=b"", subject="An offer", thread_id=1,
    )  # fmt: skip
    story = Story.objects.create(id=new_id(), kind="submission", outcome="accepted", at=NOW, subject="An offer")
    message = QueuedMessage.objects.create(
        content=content, size_octets=1, reverse_path="ann@mine.example", created_at=NOW, story_id=story.pk,
        domain=Domain.objects.get(name="mine.example"), expires_at=NOW + timedelta(days=5),
    )  # fmt: skip
    recipient = QueuedRecipient.objects.create(
        message=message, forward_path="friend@remote.example", destination="remote.example",
        next_attempt_at=NOW + timedelta(hours=1), last_reply="451 4.7.1 try later",
    )  # fmt: skip
    DeliveryAttempt.objects.create(recipient=recipient, token="t", started_at=NOW, reply="451 4.7.1 try later")
    return message


def press(client, message, verb):
    return client.post(reverse("admin:queue_queuedmessage_do", args=[message.pk, verb]), follow=True).content.decode()


@pytest.mark.parametrize("who", ["as_superuser", "as_domain_administrator"])
def test_the_buttons_do_what_they_say(request, message, who):
    client = request.getfixturevalue(who)
    page = client.get(reverse("admin:queue_queuedmessage_change", args=[message.pk])).content.decode()
    assert all(words in page for words in ("friend@remote.example", "451 4.7.1 try later", "An offer", "Retry now"))
    assert "tried again now" in press(client, message, "retry")
    assert QueuedRecipient.objects.get().next_attempt_at <= datetime.now(UTC)
    assert "is held" in press(client, message, "hold")
    assert QueuedMessage.objects.get().held_at and "release it first" in press(client, message, "retry")
    assert "goes on" in press(client, message, "release")
    assert QueuedMessage.objects.get().held_at is None
    assert "is dropped" in press(client, message, "drop")
    assert QueuedRecipient.objects.get().state == "dropped" and QueuedMessage.objects.get().settled_at
    assert "settled already" in press(client, message, "drop")
    kinds = list(Event.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["retried", "held", "released", "dropped"]


@pytest.mark.parametrize("who", ["as_superuser", "as_domain_administrator"])
def test_a_mailbox_is_suspended_with_its_mail_and_given_back(request, message, who):
    client, ann = request.getfixturevalue(who), Mailbox.objects.get(address="ann@mine.example")
    QueuedMessage.objects.update(sender_mailbox=ann)

    def press_mailbox(verb):
        url = reverse("admin:directory_mailbox_do", args=[ann.pk, verb])
        return client.post(url, follow=True).content.decode()

    page = client.get(reverse("admin:directory_mailbox_change", args=[ann.pk])).content.decode()
    assert "Send held mail" not in page
    page = press_mailbox("suspend")
    assert "messages held in the queue: 1" in page and "Send held mail" in page and "1 message</a>" in page
    assert QueuedMessage.objects.get().held_at
    assert "that go on: 1" in press_mailbox("release_held") and QueuedMessage.objects.get().held_at is None
    press_mailbox("resume")
    press_mailbox("suspend")
    assert "that are dropped: 1" in press_mailbox("drop_held") and QueuedMessage.objects.get().settled_at


def test_a_queued_message_is_told_in_words_that_people_know(as_superuser, message):
    url = reverse("admin:queue_queuedmessage_change", args=[message.pk])
    page = as_superuser.get(url).content.decode()
    assert all(word in page for word in ("Size", "Queued at", "Given up at", "Recipient", "Tries", "Next try"))
    assert "octets" not in page and "Held because" not in page
    press(as_superuser, message, "hold")
    assert "Held because" in as_superuser.get(url).content.decode()


def test_actions_take_what_waits_and_tell_what_they_could_not(as_superuser, message):
    url = reverse("admin:queue_queuedmessage_changelist")
    for action in ("hold", "release", "retry", "drop"):
        page = as_superuser.post(url, {"action": action, "_selected_action": [message.pk]}, follow=True)
        assert message.reference in page.content.decode()
    assert QueuedMessage.objects.get().settled_at
    assert message.reference not in as_superuser.get(url).content.decode()
    assert message.reference in as_superuser.get(url, {"state": "settled"}).content.decode()


def test_the_first_page_tells_when_no_host_can_be_reached(as_superuser, message):
    def tried(destination, **fields):
        recipient = QueuedRecipient.objects.create(
            message=message, forward_path=f"x@{destination}", destination=destination
        )
        DeliveryAttempt.objects.create(recipient=recipient, token="t", started_at=NOW, ended_at=NOW, **fields)

    tried("a.example")
    tried("b.example")
    assert b"port 25" not in as_superuser.get(reverse("admin:index")).content
    tried("c.example")
    assert b"port 25" in as_superuser.get(reverse("admin:index")).content
    tried("d.example", code=451)
    assert b"port 25" not in as_superuser.get(reverse("admin:index")).content


def test_the_list_is_found_by_recipient(as_superuser, message):
    url = reverse("admin:queue_queuedmessage_changelist")
    assert message.reference in as_superuser.get(url, {"q": "friend@remote"}).content.decode()
    assert message.reference not in as_superuser.get(url, {"q": "stranger"}).content.decode()


@pytest.mark.parametrize("who", ["as_superuser", "as_domain_administrator"])
def test_what_nobody_reads_is_told_and_goes_when_somebody_does(request, message, who):
    client = request.getfixturevalue(who)
    QueuedRecipient.objects.update(forward_path="postmaster@mine.example", destination="mine.example")
    QueuedMessage.objects.update(held_at=NOW, hold_reason=KEPT)
    Mailbox.objects.all().update(state=Mailbox.State.REMOVED)
    Alias.objects.all().delete()
    host = QueuedMessage.objects.create(
        content=message.content, size_octets=1, created_at=NOW, expires_at=NOW, held_at=NOW, hold_reason=KEPT
    )
    QueuedRecipient.objects.create(message=host, forward_path="postmaster@localhost", destination="localhost")
    page = client.get(reverse("admin:index")).content.decode()
    if who == "as_superuser":
        # The same trouble of two addresses is one notice.
        assert "postmaster@localhost" in page and "mail to 2 such addresses is kept until somebody does" in page
    else:
        assert "Nobody reads postmaster@mine.example: mail is kept (1) until an administrator has a mailbox" in page
        assert "postmaster@localhost" not in page
    assert "Nobody reads postmaster@mine.example yet: give an administrator" in press(client, message, "release")
    assert QueuedMessage.objects.exclude(held_at=None).count() == 2
    services.add_mailbox("postmaster@mine.example", "correct horse battery")
    assert "goes on" in press(client, message, "release")
    assert QueuedMessage.objects.exclude(held_at=None).get() == host


@pytest.mark.parametrize(
    ("tls", "state", "told"),
    [
        ("TLSv1.3 AES, certificate verified (MTA-STS)", "delivered", "TLSv1.3 AES, certificate verified (MTA-STS)"),
        ("", "delivered", "none: in clear text"),
        ("", "queued", "none"),
    ],
)  # fmt: skip
def test_a_queued_message_tells_under_what_tls_it_went(as_superuser, message, tls, state, told):
    recipient = QueuedRecipient.objects.get()
    host = "mx.remote.example"
    for number, (reached, how) in enumerate(((host, "TLSv1.9"), (host, tls), ("", "never"))):
        DeliveryAttempt.objects.create(
            recipient=recipient, token="t", started_at=NOW + timedelta(seconds=number), remote_host=reached, tls=how
        )
    QueuedRecipient.objects.update(state=state)
    page = as_superuser.get(reverse("admin:queue_queuedmessage_change", args=[message.pk])).content.decode()
    assert re.search(rf">\s*{re.escape(told)}\s*<", page) and "TLSv1.9" not in page


def test_what_was_said_in_an_attempt_is_shown_line_by_line(as_superuser, message):
    said = "*: TLS policy: DANE demands TLS\nS: 220 mx\nC: EHLO <us>"
    DeliveryAttempt.objects.update(dialog=said)
    attempt = DeliveryAttempt.objects.get()
    page = as_superuser.get(reverse("admin:queue_deliveryattempt_change", args=[attempt.pk])).content.decode()
    assert f'<span class="ms-value ms-lines">{said.replace("<us>", "&lt;us&gt;")}</span>' in page
