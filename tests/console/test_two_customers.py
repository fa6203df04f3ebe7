"""An alias of one customer leads to an alias of another: neither sees, finds or drops what is the other's.

team@mine.example leads to list@theirs.example, whose members are boss@theirs.example and secret@far.example. The
message is filed as the services do; then both customers' administrators look, by every list, search and button.
"""

from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.urls import reverse

from mailsuite.console.stories import search
from mailsuite.directory import lookup
from mailsuite.directory.models import Mailbox, SendAs, User
from mailsuite.mail.address import Path, parse_address
from mailsuite.mail.dsn import Action
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.pipeline.delivery_plan import delivery
from mailsuite.pipeline.direct import at_once, direct_services
from mailsuite.pipeline.intakes import MX, SUBMISSION
from mailsuite.pipeline.notifications import compose_notifications
from mailsuite.pipeline.parties import Client, Submitter
from mailsuite.pipeline.transaction import Transaction, take_recipient
from mailsuite.provisioning import services
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage
from mailsuite.queue.operations import AttemptResult, ClaimDue, Settle
from mailsuite.queue.outcomes import Fate
from mailsuite.secrets import site_keys
from mailsuite.store.models import Message
from mailsuite.store.operations import Deliver
from mailsuite.trace.models import Story
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

NOW = datetime.now(UTC)
PASSWORD = "correct horse battery"
MESSAGE = b"From: x@remote.example\r\nSubject: Hello all\r\nMessage-ID: <1@remote.example>\r\n\r\nHello\r\n"
# Words of theirs.example's list, and the address that mine.example's alias names.
MEMBERS, NAMED = ("secret@far.example", "boss@theirs.example", "far.example"), "list@theirs.example"


@pytest.fixture
def administrators(client, domains):
    """Clients signed in, by domain."""
    services.add_mailbox("boss@theirs.example", PASSWORD)
    services.add_alias(
        "list@theirs.example",
        ["boss@theirs.example", "secret@far.example"],
    )
    services.add_alias("team@mine.example", ["list@theirs.example", "ann@mine.example"])
    found = {}
    for name in ("mine.example", "theirs.example"):
        user = User.objects.create_user(f"staff@{name}", PASSWORD, is_staff=True)
        user.administered_domains.add(domains[name])
        found[name] = type(client)()
        found[name].force_login(user)
    return found


def receive(*recipients, submitter=None, sender="x@remote.example"):
    """Files a message as smtpd does; returns its story."""
    mail_storage().prepare()
    client = Client("192.0.2.1", "SMTP", "client.remote.example", True, None, submitter)
    services = direct_services("mx.example", site_keys("srs"))
    transaction = Transaction(
        SUBMISSION if submitter else MX, services, client, Envelope(sender), Path(parse_address(sender))
    )
    for one in recipients:
        path = Path(parse_address(one))
        assert at_once(take_recipient(transaction, EnvelopeRecipient(one), path)) is None
    transaction.arrive(services.spool.holding(MESSAGE))
    transaction.at, transaction.rewrites_sender = NOW, submitter is None
    transaction.measure()
    made = delivery(transaction, "250 2.0.0 OK")
    execute(Deliver.carrying(MESSAGE, made.story, local=made.local, outgoing=made.outgoing))
    return Story.objects.get(pk=transaction.story_id)


def pages(client, *models, words=""):
    """The lists of the models, searched for the words, and every page that they lead to."""
    text = ""
    for model in models:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        text += client.get(reverse(f"{name}_changelist"), {"q": words} if words else {}).content.decode()
        for row in model.objects.all():
            response = client.get(reverse(f"{name}_change", args=[row.pk]))
            text += response.content.decode() if response.status_code == 200 else ""
    return text + client.get(reverse("admin:index")).content.decode()


def fail_all(token="token"):
    """A try at what is queued, that failed for good; its sender is told."""
    claims = execute(ClaimDue(token, 10, 1200))
    results = [
        AttemptResult(claim.recipient_id, "failed", f"550 no {claim.recipient.forward_path}", code=550)
        for claim in claims
    ]
    fates = [
        Fate(claim, Action.FAILED, "5.1.1", f"550 no {claim.recipient.forward_path}", "mx.far.example")
        for claim in claims
    ]
    execute(Settle(token, results, compose_notifications(fates, NOW)))


def test_what_is_of_the_other_shows_nowhere_and_is_not_found(administrators, domains):
    story = receive("team@mine.example")
    message = QueuedMessage.objects.get()
    fail_all()
    models = (Story, QueuedMessage, DeliveryAttempt)
    mine, theirs = (pages(administrators[name], *models) for name in ("mine.example", "theirs.example"))
    assert "team@mine.example" in mine and NAMED in mine and "ann@mine.example" in mine
    assert [word for word in MEMBERS if word in mine] == []
    assert [word for word in (*MEMBERS, NAMED, "550 no secret@far.example") if word not in theirs] == []
    assert "team@mine.example" not in theirs and "ann@mine.example" not in theirs
    for name, own, foreign in (
        ("mine.example", "team@mine.example", MEMBERS),
        ("theirs.example", NAMED, ("team@mine.example", "ann@mine.example")),
    ):
        scope = {domains[name]}
        assert [list(search.matching(Story.objects.all(), word, scope)) for word in foreign] == [[]] * len(foreign)
        assert list(search.matching(Story.objects.filter(kind="inbound"), own, scope)) == [story]
        listed = reverse("admin:queue_queuedmessage_changelist")
        found = administrators[name].get(listed, {"q": "far.example", "state": "all"}).content.decode()
        assert (message.reference in found) is (name == "theirs.example")


def test_what_is_of_the_other_can_not_be_held_tried_or_dropped(administrators):
    receive("team@mine.example")
    message = QueuedMessage.objects.get()
    assert message.domain.name == "theirs.example" and message.reverse_path.endswith("@theirs.example")
    listed = reverse("admin:queue_queuedmessage_changelist")
    for verb in ("retry", "hold", "release", "fail", "drop"):
        url = reverse("admin:queue_queuedmessage_do", args=[message.pk, verb])
        assert administrators["mine.example"].post(url).status_code == 404
        administrators["mine.example"].post(listed, {"action": verb, "_selected_action": [message.pk]})
    message.refresh_from_db()
    assert (message.held_at, message.settled_at, message.recipients.get().state) == (None, None, "queued")
    url = reverse("admin:queue_queuedmessage_do", args=[message.pk, "drop"])
    assert administrators["theirs.example"].post(url).status_code == 302
    message.refresh_from_db()
    assert message.settled_at is not None


def test_a_customer_s_own_user_who_writes_to_the_other_s_list_sees_no_more(administrators, domains):
    """Nor does it count whom it leads to as whom the user wrote to."""
    ann = User.objects.get(email="ann@mine.example")
    mailbox = ann.mailboxes.get()
    submitter = Submitter(ann.pk, "ann@mine.example", mailbox.pk, domains["mine.example"])
    receive(NAMED, "friend@other.example", submitter=submitter, sender="ann@mine.example")
    assert mailbox.sending_days.get().new_recipients == 1
    mine = pages(administrators["mine.example"], Story, QueuedMessage)
    assert "friend@other.example" in mine and [word for word in MEMBERS if word in mine] == []
    theirs = pages(administrators["theirs.example"], QueuedMessage)
    assert "secret@far.example" in theirs and "friend@other.example" not in theirs


def test_the_shell_tells_the_site_s_administrator_all(administrators, capsys):
    story = receive("team@mine.example")
    call_command("trace", story.reference)
    told = capsys.readouterr().out
    assert all(word in told for word in ("team@mine.example", NAMED, *MEMBERS))
    # Named three hundred times: one row for each mailbox, each address elsewhere and each thing that befell it.
    again = receive(*(f"list+{number}@theirs.example" for number in range(300)))
    kinds = again.events.order_by("kind").values_list("kind", "address")
    assert list(kinds) == [
        ("expanded", "list+0@theirs.example"),
        ("filed", "boss@theirs.example"),
        ("queued", "secret@far.example"),
    ]
    assert QueuedMessage.objects.get(story_id=again.pk).recipients.count() == 1
    assert Message.objects.filter(story_id=again.pk).count() == 1


def said(response):
    return " ".join(str(message) for message in response.context["messages"])


def test_who_may_write_in_a_domain_s_name_is_seen_and_ended_by_who_administers_it_now(administrators):
    """Given by somebody who administered it before, to an account elsewhere."""
    ann = User.objects.get(email="ann@theirs.example")
    services.grant_send_as(ann.pk, "@mine.example")
    services.grant_send_as(ann.pk, "press@theirs.example")
    page = administrators["mine.example"].get(reverse("admin:directory_sendas_changelist")).content.decode()
    assert "ann@theirs.example" in page and "press@theirs.example" not in page
    granted, other = SendAs.objects.order_by("pk")
    answers = [
        administrators["mine.example"].post(reverse("admin:directory_sendas_delete", args=[one.pk]), {"post": "yes"})
        for one in (granted, other)
    ]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert list(SendAs.objects.all()) == [other]


def test_an_account_of_both_is_not_brought_back_by_one_of_them(administrators):
    """Else its password would be theirs to set before the other's mailbox comes back to it."""
    services.add_mailbox("eve@mine.example", owner="bob@theirs.example")
    services.remove_mailbox("eve@mine.example")
    services.remove_mailbox("bob@theirs.example")
    for address in ("eve@mine.example", "bob@theirs.example"):
        url = reverse("admin:directory_removedmailbox_do", args=[Mailbox.objects.get(address=address).pk, "restore"])
        text = said(administrators[address.partition("@")[2]].post(url, {"address": address}, follow=True))
        assert "is not yours to change: ask the host's administrator" in text
        other = {"eve@mine.example", "bob@theirs.example"} - {address}
        assert not any(one in text for one in other)
    assert Mailbox.objects.filter(address__in=["eve@mine.example", "bob@theirs.example"], state="removed").count() == 2


def test_whose_account_it_is_is_not_told_to_those_who_may_not_know(administrators):
    services.add_mailbox("eve@mine.example", owner="bob@theirs.example")
    url = reverse("admin:directory_mailbox_change", args=[Mailbox.objects.get(address="eve@mine.example").pk])
    given = {"name": "", "quota_octets": "1G", "password": "quite another long one"}
    page = administrators["mine.example"].post(url, given).content.decode()
    assert "The account of this mailbox is not yours to change" in page and "bob@theirs.example" not in page


@pytest.mark.parametrize("is_superuser", [True, False])
def test_mail_of_who_administers_more_is_not_led_elsewhere(administrators, domains, is_superuser):
    """What is told to them, or read by them as postmaster, is of other customers, too."""
    services.add_mailbox("root@mine.example", PASSWORD)
    root = User.objects.filter(email="root@mine.example")
    root.update(is_superuser=is_superuser, is_staff=True)
    if not is_superuser:
        root.get().administered_domains.set(domains.values())
    mailbox = Mailbox.objects.get(address="root@mine.example")
    for verb, given in (
        ("forward", {"targets": "x@far.example"}),
        ("rename", {"address": "r@mine.example"}),
        ("remove", {}),
    ):
        url = reverse("admin:directory_mailbox_do", args=[mailbox.pk, verb])
        text = said(administrators["mine.example"].post(url, given, follow=True))
        assert "administers more than you do" in text, verb
    assert lookup.resolve("root@mine.example").local[0].mailbox_id == mailbox.pk
    assert not lookup.resolve("root@mine.example").remote
    # Who administers the same is a colleague.
    root.update(is_superuser=False)
    root.get().administered_domains.set([domains["mine.example"]])
    url = reverse("admin:directory_mailbox_do", args=[mailbox.pk, "forward"])
    said(administrators["mine.example"].post(url, {"targets": "x@far.example"}, follow=True))
    assert lookup.resolve("root@mine.example").remote == ("x@far.example",)
