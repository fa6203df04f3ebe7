"""What mailboxes send in a day is counted where it is filed; beyond a cap it is held, and far beyond refused."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.abuse import alarms, sending, sending_alarms
from mailsuite.abuse.models import Alarm, SendingCap, SendingDay, SendingSettings, SentRecipient
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.ids import new_id
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.provisioning import services, suspension
from mailsuite.queue.held_mail import held_count
from mailsuite.queue.models import QueuedMessage
from mailsuite.store.models import Message
from mailsuite.store.operations import Deliver, LocalDelivery, Outgoing, RemoteRecipient
from mailsuite.trace.models import Event
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.run import Job, run_jobs
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

PASSWORD = "correct horse battery"
MAIL = b"From: ann@example.org\r\n\r\nhello\r\n"


@pytest.fixture
def people(quick_hashes):
    services.add_domain("example.org", key_pairs=[])
    for name in ("ann", "bob"):
        services.add_mailbox(f"{name}@example.org", PASSWORD)
    return {name.partition("@")[0]: pk for name, pk in Mailbox.objects.values_list("address", "pk")}


def submission(sender_id, *remote, local=(), kind="submission", hold_reason=""):
    now = datetime.now(UTC)
    mail_storage().prepare()
    story = StoryFacts(new_id(), kind, "accepted", now, sender_mailbox_id=sender_id)
    recipients = [RemoteRecipient(EnvelopeRecipient(one), one.rpartition("@")[2]) for one in remote]
    envelope = {"sender_mailbox_id": sender_id, "hold_reason": hold_reason}
    out = Outgoing(Envelope("ann@example.org", expires_at=now + timedelta(days=5)), b"", recipients, **envelope)
    deliveries = [LocalDelivery(one, "x@example.org", b"") for one in local]
    return Deliver.carrying(MAIL, story, local=deliveries, outgoing=[out] if remote else [])


def submit(*operations):
    """Files them in one batch; why each was held."""
    jobs = [Job(one) for one in operations]
    run_jobs(jobs)
    assert [job.error for job in jobs] == [None] * len(jobs)
    held = dict(QueuedMessage.objects.values_list("story_id", "hold_reason"))
    return [held.get(one.story.story_id, "") for one in operations]


def caps(mailbox_id, messages=0, new_recipients=0):
    SendingCap.objects.create(mailbox_id=mailbox_id, messages_a_day=messages, new_recipients_a_day=new_recipients)


def counted(mailbox_id):
    return SendingDay.objects.values_list("messages", "new_recipients").get(mailbox=mailbox_id)


def test_messages_and_new_recipients_are_counted(people):
    ann, bob = people["ann"], people["bob"]
    submit(submission(ann, "x@far.test", "Y@far.test"), submission(ann, "x@FAR.test"), submission(bob))
    submit(submission(ann, "y@FAR.test", "z@far.test"), submission(ann, local=[bob]))
    assert counted(ann) == (4, 3)
    assert counted(bob) == (1, 0)


def test_only_submissions_of_a_mailbox_count(people):
    submit(submission(people["ann"], "x@far.test", kind="inbound"), submission(None, "x@far.test"))
    assert not SendingDay.objects.exists() and not SentRecipient.objects.exists()


def test_beyond_the_cap_what_goes_elsewhere_is_held_and_the_rest_delivered(people):
    ann, bob = people["ann"], people["bob"]
    caps(ann, messages=2)
    operations = [submission(ann, "x@far.test", local=[bob]) for _ in range(3)]
    assert submit(*operations) == ["", "", sending.OVER_CAP]
    assert submit(submission(ann, "x@far.test"), submission(bob, "x@far.test")) == [sending.OVER_CAP, ""]
    assert Message.objects.filter(mailbox=bob).count() == 3
    assert Event.objects.filter(kind="queued", reason="held", text=sending.OVER_CAP).count() == 2
    assert held_count(ann) == 2
    assert suspension.release_held("ann@example.org") == 2


def test_the_alarm_is_there_with_the_first_message_that_is_held(people):
    ann, now = people["ann"], datetime.now(UTC)
    caps(ann, messages=2)
    submit(*(submission(ann, "x@far.test") for _ in range(2)))
    assert not Alarm.objects.exists()
    submit(submission(ann, "x@far.test"), submission(people["bob"], "x@far.test"))
    [alarm] = Alarm.objects.all()
    assert (alarm.mailbox_id, alarm.kind, alarm.text) == (ann, "over-cap", "3 of 2 messages, 1 new recipients")
    assert abs(alarm.raised_at - now) < timedelta(minutes=1) and alarm.day == alarm.raised_at.date()
    submit(submission(ann, "y@far.test"))
    alarms.watch(now)
    alarm.refresh_from_db()
    assert alarm.text == "4 of 2 messages, 2 new recipients"
    # What somebody has looked at stays as they saw it.
    alarms.dismiss([alarm.pk])
    submit(submission(ann, "y@far.test"))
    alarms.watch(now)
    [alarm] = Alarm.objects.all()
    assert alarm.dismissed_at and alarm.text == "4 of 2 messages, 2 new recipients"


def test_beyond_the_cap_of_new_recipients_friends_are_still_written_to(people):
    ann = people["ann"]
    caps(ann, new_recipients=2)
    assert submit(submission(ann, "friend@far.test")) == [""]
    assert submit(submission(ann, "a@far.test", "b@far.test")) == [sending.OVER_CAP]
    assert submit(submission(ann, "friend@far.test"), submission(ann, "c@far.test")) == ["", sending.OVER_CAP]


def test_a_reason_of_its_own_stays(people):
    caps(people["ann"], messages=1)
    submit(submission(people["ann"], "x@far.test"))
    assert submit(submission(people["ann"], "x@far.test", hold_reason="looks odd")) == ["looks odd"]


def test_the_site_s_caps_and_a_mailbox_s_own(people):
    ann, bob = people["ann"], people["bob"]
    SendingSettings.objects.create(pk=1, messages_a_day=1, new_recipients_a_day=0)
    caps(bob)
    for sender, last in ((ann, sending.OVER_CAP), (bob, "")):
        assert submit(*(submission(sender, "x@far.test") for _ in range(2))) == ["", last]
    assert sending.caps_of([ann, bob]) == {ann: sending.Caps(1, 0), bob: sending.Caps(0, 0)}


@pytest.mark.parametrize(
    ("cap", "counts", "exhausted"),
    [
        ((10, 10), (19, 19), False),
        ((10, 10), (20, 0), True),
        ((10, 10), (0, 20), True),
        ((0, 0), (10**6, 10**6), False),
        ((0, 10), (10**6, 0), False),
    ],
)
def test_twice_the_cap_is_enough(people, cap, counts, exhausted):
    ann = people["ann"]
    caps(ann, *cap)
    assert not sending.is_exhausted(ann)
    today = datetime.now(UTC).date()
    SendingDay.objects.create(mailbox_id=ann, day=today, messages=counts[0], new_recipients=counts[1])
    assert sending.is_exhausted(ann) == exhausted


def test_yesterday_does_not_count(people):
    ann, yesterday = people["ann"], datetime.now(UTC).date() - timedelta(days=1)
    caps(ann, messages=1)
    SendingDay.objects.create(mailbox_id=ann, day=yesterday, messages=100)
    assert not sending.is_exhausted(ann)
    assert submit(submission(ann, "x@far.test")) == [""]


def test_what_a_suspended_mailbox_still_brings_is_held(people):
    suspension.suspend("ann@example.org")
    assert submit(submission(people["ann"], "x@far.test")) == [sending.SENDER_SUSPENDED]
    services.resume_mailbox("ann@example.org")
    assert submit(submission(people["ann"], "x@far.test")) == [""]


def test_a_batch_that_fails_counts_what_was_filed(people):
    ann = people["ann"]
    good, doubled = submission(ann, "x@far.test"), submission(ann, "y@far.test")
    submit(good)
    wrong = Deliver.carrying(MAIL, good.story, outgoing=doubled.outgoing)
    jobs = [Job(wrong), Job(submission(ann, "z@far.test"))]
    run_jobs(jobs)
    assert jobs[0].error and not jobs[1].error
    assert counted(ann) == (2, 2)


def test_old_days_and_recipients_are_forgotten(people):
    ann, now = people["ann"], datetime.now(UTC)
    submit(submission(ann, "x@far.test"))
    assert sending.forget_old(now + timedelta(days=89)) == 0
    assert sending.forget_old(now + timedelta(days=92)) == 1
    assert sending.forget_old(now + timedelta(days=732)) == 1
    assert submit(submission(ann, "x@far.test")) == [""]
    assert counted(ann) == (1, 1)


def told():
    return list(Message.objects.order_by("pk").values_list("mailbox__address", "content__subject"))


def test_owner_and_administrator_are_warned_once_and_the_administrator_is_told_once_of_what_is_held(people):
    ann, now = people["ann"], datetime.now(UTC)
    User.objects.update(is_staff=True)
    boss = User.objects.get(email="bob@example.org")
    boss.administered_domains.add(Domain.objects.get())
    caps(ann, messages=5)
    submit(*(submission(ann, "x@far.test") for _ in range(3)))
    assert sending_alarms.warn(now) == 0
    submit(submission(ann, "x@far.test"))
    assert sending_alarms.warn(now) == 2 and sending_alarms.warn(now) == 0
    assert {subject for _, subject in told()} == {"ann@example.org has nearly sent what it may in a day"}
    assert {address for address, _ in told()} == {"ann@example.org", "bob@example.org"}
    submit(*(submission(ann, "x@far.test") for _ in range(2)))
    assert sending_alarms.warn(now) == 1 and sending_alarms.warn(now) == 0
    # Ann's password may be stolen: who stole it reads her mail.
    assert told()[-1] == ("bob@example.org", "Mail from ann@example.org is held")


def test_an_administrator_s_own_held_mail_is_told_to_the_others(people, caplog):
    ann, now = people["ann"], datetime.now(UTC)
    domain = Domain.objects.get()
    User.objects.update(is_staff=True)
    domain.administrators.add(User.objects.get(email="ann@example.org"))
    caps(ann, messages=1)
    submit(submission(ann, "x@far.test"), submission(ann, "x@far.test"))
    assert sending_alarms.warn(now) == 0 and told() == []
    assert "nobody can be told of this: Mail from ann@example.org is held" in caplog.text
    SendingDay.objects.update(told=0)
    domain.administrators.add(User.objects.get(email="bob@example.org"))
    assert sending_alarms.warn(now) == 1
    assert told() == [("bob@example.org", "Mail from ann@example.org is held")]


def test_who_has_no_caps_is_never_warned(people):
    caps(people["ann"])
    submit(*(submission(people["ann"], "x@far.test") for _ in range(3)))
    assert sending_alarms.warn(datetime.now(UTC)) == 0
