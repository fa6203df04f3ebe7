"""What a stolen password looks like is noticed, once a day for each mailbox and kind."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.abuse import alarms
from mailsuite.abuse.models import Alarm, SendingCap, SendingDay
from mailsuite.directory.models import Domain, Login, Mailbox, User
from mailsuite.ids import new_id
from mailsuite.provisioning import services, suspension
from mailsuite.store.models import Message
from mailsuite.trace.models import Event, Story
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

PASSWORD = "correct horse battery"
NOW = datetime.now(UTC)


@pytest.fixture
def ann(quick_hashes):
    """A mailbox of example.org, whose administrator is bob."""
    mail_storage().prepare()
    services.add_domain("example.org", key_pairs=[])
    for name in ("ann", "bob"):
        services.add_mailbox(f"{name}@example.org", PASSWORD)
    User.objects.update(is_staff=True)
    User.objects.get(email="bob@example.org").administered_domains.add(Domain.objects.get())
    Mailbox.objects.update(created_at=NOW - timedelta(days=100))
    return Mailbox.objects.get(address="ann@example.org")


def raised():
    alarms.watch(NOW)
    return list(Alarm.objects.values_list("mailbox__address", "kind"))


def log_in(mailbox, count, ago=timedelta(0), succeeded=True, address="198.{}.2.1"):
    for number in range(count):
        Login.objects.create(
            user=mailbox.user, address_key=mailbox.address_key, at=NOW - ago, protocol="smtp", succeeded=succeeded,
            client_address=address.format(number),
        )  # fmt: skip


def fail(mailbox, count, reason=""):
    story = Story.objects.create(
        id=new_id(), kind="submission", outcome="accepted", at=NOW, sender_mailbox=mailbox, data="{}"
    )
    for _ in range(count):
        Event.objects.create(id=new_id(), story=story, at=NOW, kind="failed", address="x@far.test", reason=reason)


def send(mailbox, messages, days_ago=0, strangers=0):
    day = NOW.date() - timedelta(days=days_ago)
    SendingDay.objects.create(mailbox=mailbox, day=day, messages=messages, new_recipients=strangers)


def new(mailbox, **caps):
    """Makes it one of today."""
    Mailbox.objects.filter(pk=mailbox.pk).update(created_at=NOW)
    if caps:
        SendingCap.objects.create(mailbox=mailbox, **caps)


def alarmed(mailbox, days_ago, dismissed=False):
    day = NOW - timedelta(days=days_ago)
    at = {"raised_at": day, "day": day.date(), "dismissed_at": NOW if dismissed else None}
    Alarm.objects.create(mailbox=mailbox, kind="volume", text="then", **at)


CASES = [
    (lambda ann: log_in(ann, 8), ["many-networks"]),
    (lambda ann: log_in(ann, 7), []),
    (lambda ann: log_in(ann, 8, address="198.51.{}.1"), []),
    (lambda ann: log_in(ann, 8, address="2001:db{}::1"), ["many-networks"]),
    (lambda ann: log_in(ann, 8, ago=timedelta(hours=2)), []),
    (lambda ann: log_in(ann, 8, succeeded=False), []),
    (lambda ann: fail(ann, 20), ["bounces"]),
    (lambda ann: fail(ann, 19), []),
    (lambda ann: fail(ann, 20, reason="by-hand"), []),
    (lambda ann: send(ann, 100), ["volume"]),
    (lambda ann: send(ann, 99), []),
    (lambda ann: (send(ann, 100), send(ann, 20, 3)), []),
    (lambda ann: (send(ann, 100), send(ann, 19, 3)), ["volume"]),
    (lambda ann: (send(ann, 100), send(ann, 20, 31)), []),
    (lambda ann: send(ann, 3, strangers=100), ["volume"]),
    (lambda ann: (send(ann, 3, strangers=100), send(ann, 99, 3, strangers=20)), []),
    (lambda ann: (send(ann, 100), send(ann, 900, 3), alarmed(ann, 3)), ["volume", "volume"]),
    (lambda ann: (send(ann, 100), send(ann, 900, 3), alarmed(ann, 3, dismissed=True)), ["volume"]),
    (lambda ann: (new(ann), send(ann, 499, strangers=249)), []),
    (lambda ann: (new(ann), send(ann, 500)), ["volume"]),
    (lambda ann: (new(ann), send(ann, 3, strangers=250)), ["volume"]),
    (lambda ann: (new(ann, messages_a_day=100), send(ann, 99)), []),
    (lambda ann: (new(ann, messages_a_day=2000), send(ann, 999)), []),
    (lambda ann: (new(ann, messages_a_day=0, new_recipients_a_day=0), send(ann, 500)), ["volume"]),
    (lambda ann: (send(ann, 1001), send(ann, 900, 3)), ["over-cap"]),
]


@pytest.mark.parametrize(("happens", "kinds"), CASES)
def test_what_is_noticed(ann, happens, kinds):
    happens(ann)
    assert raised() == [("ann@example.org", kind) for kind in kinds]


def test_the_administrators_are_told_once(ann):
    log_in(ann, 8)
    assert alarms.watch(NOW) == 1 and alarms.watch(NOW) == 0
    [(to, subject)] = Message.objects.values_list("mailbox__address", "content__subject")
    assert (to, subject) == ("bob@example.org", "ann@example.org was signed in to from many networks")


def test_an_alarm_is_not_told_to_the_mailbox_that_it_is_about(ann):
    Domain.objects.get().administrators.add(ann.user)
    log_in(ann, 8)
    raised()
    assert list(Message.objects.values_list("mailbox__address", flat=True)) == ["bob@example.org"]


def test_alarms_are_open_until_dismissed_suspended_or_old(ann):
    log_in(ann, 8)
    raised()
    domains = (None, {ann.domain_id}, set())
    assert [alarms.open_alarms(NOW, ids).count() for ids in domains] == [1, 1, 0]
    assert not alarms.open_alarms(NOW + timedelta(days=8), None).exists()
    suspension.suspend(ann.address)
    assert not alarms.open_alarms(NOW, None).exists()
    assert alarms.forget_old(NOW + timedelta(days=91)) == 1
