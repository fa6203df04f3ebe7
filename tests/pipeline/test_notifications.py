"""Who hears of what, and by which way."""

import email
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from mailsuite.mail import srs
from mailsuite.mail.address import parse_address, parse_path
from mailsuite.mail.dsn import Action
from mailsuite.pipeline.notifications import compose_notifications, is_wanted
from mailsuite.queue.models import QueuedMessage
from mailsuite.queue.operations import AttemptResult, ClaimDue, Settle
from mailsuite.queue.outcomes import Fate
from mailsuite.secrets import site_keys
from mailsuite.store.models import Message
from mailsuite.trace.models import Story
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

NOW = datetime.now(UTC)


@pytest.fixture
def ann(db):
    """A mailbox for ann@example.org."""
    from mailsuite.provisioning.domains import add_domain
    from mailsuite.provisioning.mailboxes import add_mailbox

    add_domain("example.org")
    return add_mailbox("ann@example.org", "a long enough password")


def claim_all():
    return execute(ClaimDue("token", 10, 1200))


def failed(claim, text="550 5.1.1 who?"):
    return Fate(claim, Action.FAILED, "5.1.1", text, "mx.far.test")


def read(delivery):
    return email.message_from_bytes(delivery.octets)


def test_a_sender_of_ours_gets_it_into_the_mailbox(ann, enqueue):
    enqueue("bob@far.test")
    [claim] = claim_all()
    [delivery] = compose_notifications([failed(claim)], NOW)
    result = AttemptResult(claim.recipient_id, "failed", "550 5.1.1 who?")
    assert execute(Settle("token", [result], [delivery])) == [claim.recipient_id]
    message = Message.objects.get(folder__mailbox__address="ann@example.org", folder__role="inbox")
    assert bytes(message.prefix).startswith(b"Return-Path: <>\r\nDelivered-To: ann@example.org\r\n")
    assert message.content.subject == "Not delivered: Hello"
    assert Story.objects.get(kind="notification").reason == "failed"


def test_it_tells_the_peer_s_words_and_threads_to_the_original(ann, enqueue):
    enqueue("bob@far.test")
    [claim] = claim_all()
    [delivery] = compose_notifications([failed(claim)], NOW)
    report = read(delivery)
    assert (report["From"], report["To"]) == ("Mail Delivery System <postmaster@example.org>", "<ann@example.org>")
    assert report["In-Reply-To"] == "<1@example.org>"
    assert report["DKIM-Signature"] and "d=example.org" in report["DKIM-Signature"]
    human, status, original = report.get_payload()
    assert "550 5.1.1 who?" in human.get_payload()
    fields = status.get_payload()[1]
    assert (fields["Final-Recipient"], fields["Action"], fields["Status"]) == ("rfc822;bob@far.test", "failed", "5.1.1")
    assert fields["Remote-MTA"] == "dns; mx.far.test"
    assert original.get_payload(0)["Received"] == "from client by us"


def test_each_action_has_a_notification_of_its_own(ann, enqueue):
    enqueue("bob@far.test", "cy@far.test", "dan@far.test")
    bob, cy, dan = claim_all()
    late = Fate(cy, Action.DELAYED, "4.2.0", "450 busy", "mx.far.test", NOW + timedelta(days=4))
    subjects = [read(delivery)["Subject"] for delivery in compose_notifications([failed(bob), late, failed(dan)], NOW)]
    assert sorted(subjects) == ["Delayed: Hello", "Not delivered: Hello"]


def test_the_null_reverse_path_is_never_answered(ann, enqueue):
    enqueue("bob@far.test", reverse_path="")
    [claim] = claim_all()
    assert compose_notifications([failed(claim)], NOW) == []


@pytest.mark.parametrize("sender", ["gone@example.org", "somebody@elsewhere.test"])
def test_a_sender_we_can_t_reach_is_told_nothing(ann, enqueue, sender):
    enqueue("bob@far.test", reverse_path=sender)
    [claim] = claim_all()
    assert compose_notifications([failed(claim)], NOW) == []


def test_whose_mail_was_forwarded_is_told_through_the_queue(ann, enqueue):
    original = parse_address("eve@elsewhere.test")
    sender = srs.forward(original, "example.org", site_keys("srs"), NOW.date())
    enqueue("bob@far.test", reverse_path=str(sender))
    [claim] = claim_all()
    [delivery] = compose_notifications([failed(claim)], NOW)
    assert delivery.local == []
    [outgoing] = delivery.outgoing
    assert (outgoing.envelope.reverse_path, outgoing.hold_reason) == ("", "")
    assert [one.recipient.forward_path for one in outgoing.recipients] == ["eve@elsewhere.test"]
    assert read(delivery)["DKIM-Signature"]
    execute(Settle("token", [AttemptResult(claim.recipient_id, "failed", "550 no")], [delivery]))
    assert QueuedMessage.objects.get(reverse_path="").recipients.get().destination == "elsewhere.test"


@pytest.mark.parametrize("alias", ["", "@example.org", "s*@example.org", "SRS0*@example.org"])
@pytest.mark.parametrize("is_ours", [True, False])
def test_what_failed_of_forwarded_mail_is_told_to_whoever_wrote_and_to_no_catch_all(ann, enqueue, alias, is_ours):
    from mailsuite.provisioning.aliases import add_alias

    if alias:
        add_alias(alias, ["ann@example.org"])
    sender = srs.forward(parse_address("eve@elsewhere.test"), "example.org", site_keys("srs"), NOW.date())
    enqueue("bob@far.test", reverse_path=str(sender) if is_ours else str(sender).replace("=eve", "=eva"))
    [claim] = claim_all()
    found = compose_notifications([failed(claim)], NOW)
    assert [one.local for one in found] == [[]] * is_ours
    told = [
        one.recipient.forward_path
        for delivery in found
        for outgoing in delivery.outgoing
        for one in outgoing.recipients
    ]
    assert told == ["eve@elsewhere.test"] * is_ours


def test_whose_mail_was_forwarded_may_have_a_domain_that_no_address_of_ours_could(ann, enqueue):
    original = parse_path("<eve@under_score.test>").address
    sender = srs.forward(original, "example.org", site_keys("srs"), NOW.date())
    enqueue("bob@far.test", reverse_path=str(sender))
    [delivery] = compose_notifications([failed(claim_all()[0])], NOW)
    assert [one.recipients[0].recipient.forward_path for one in delivery.outgoing] == ["eve@under_score.test"]


def test_a_rewritten_sender_of_a_domain_that_is_disabled_is_told_all_the_same(ann, enqueue):
    from mailsuite.provisioning.domains import set_domain_state

    sender = srs.forward(parse_address("eve@elsewhere.test"), "example.org", site_keys("srs"), NOW.date())
    enqueue("bob@far.test", reverse_path=str(sender))
    set_domain_state("example.org", disabled=True)
    [delivery] = compose_notifications([failed(claim_all()[0])], NOW)
    assert [one.recipients[0].recipient.forward_path for one in delivery.outgoing] == ["eve@elsewhere.test"]


def test_what_can_t_be_signed_waits(ann, enqueue, monkeypatch):
    from mailsuite.mailauth.dkim.sign import SigningError
    from mailsuite.pipeline.stages import submission

    def refuse(*_):
        raise SigningError("no")

    monkeypatch.setattr(submission, "signature_fields", refuse)
    sender = srs.forward(parse_address("eve@elsewhere.test"), "example.org", site_keys("srs"), NOW.date())
    enqueue("bob@far.test", reverse_path=str(sender))
    [claim] = claim_all()
    [delivery] = compose_notifications([failed(claim)], NOW)
    assert delivery.outgoing[0].hold_reason == "can't be signed"


def test_a_large_message_comes_back_as_its_header(ann, enqueue):
    enqueue("bob@far.test", octets=b"Subject: Large\r\n\r\n" + b"x" * 70 * 1024 * 10)
    [claim] = claim_all()
    [delivery] = compose_notifications([failed(claim)], NOW)
    report = read(delivery)
    assert report["Subject"] == "Not delivered: Large"
    assert report.get_payload(2).get_content_type() == "text/rfc822-headers"
    assert delivery.size_octets < 10_000


def test_a_message_whose_octets_are_gone_is_still_told_of(ann, enqueue):
    message = enqueue("bob@far.test")
    mail_storage().discard([message.content.blob])
    [claim] = claim_all()
    assert len(compose_notifications([failed(claim)], NOW)) == 1


@pytest.mark.parametrize(
    "notify, action, wanted",
    [
        ("", Action.FAILED, True),
        ("", Action.DELAYED, True),
        ("", Action.RELAYED, False),
        ("NEVER", Action.FAILED, False),
        ("SUCCESS", Action.FAILED, False),
        ("SUCCESS", Action.RELAYED, True),
        ("success,failure", Action.FAILED, True),
        ("FAILURE", Action.DELAYED, False),
        ("FAILURE,DELAY", Action.DELAYED, True),
    ],
)
def test_what_the_sender_asked_for(enqueue, notify, action, wanted):
    enqueue("bob@far.test", notify=notify)
    [claim] = claim_all()
    assert is_wanted(claim, action) is wanted


def test_the_host_s_name_is_that_of_the_settings(ann, enqueue):
    enqueue("bob@far.test")
    [claim] = claim_all()
    [delivery] = compose_notifications([failed(claim)], NOW)
    status = read(delivery).get_payload(1).get_payload()[0]
    assert status["Reporting-MTA"] == f"dns; {settings.MAILSUITE.hostname}"
