"""A clock was weeks ahead for a while, and is right now: nothing that it wrote holds anything up."""

from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network

import pytest
from django.db import connections

from mailsuite.abuse import alarms, sending
from mailsuite.abuse.models import Alarm, SendingDay
from mailsuite.access import bans, throttle
from mailsuite.access.ban_list import BAN_LIST
from mailsuite.access.models import Ban, Offence
from mailsuite.database import stored_time
from mailsuite.directory.models import Domain, LoginThrottle, Mailbox
from mailsuite.ids import first_id, new_id
from mailsuite.junk import contacts
from mailsuite.junk.models import Progress, Sender
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.pipeline.quota_warnings import warn_full_mailboxes
from mailsuite.provisioning import services
from mailsuite.queue.models import QueuedRecipient
from mailsuite.queue.operations import ClaimDue
from mailsuite.queue.overdue import UNRENEWED, FallDue
from mailsuite.records import alarms as drift
from mailsuite.records import checking
from mailsuite.records.models import DnsCheck
from mailsuite.reports import preparing
from mailsuite.reports import sending as report_sending
from mailsuite.reports.models import OutgoingReport, ReportSettings
from mailsuite.screening import greylist
from mailsuite.store.models import MaildropLease, Usage
from mailsuite.store.operations import LeaseMaildrop
from mailsuite.trace.models import Story
from mailsuite.transport_security import known
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

NOW = datetime.now(UTC)
AHEAD = NOW + timedelta(days=20)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def one_connection(db):
    reader, connections["reader"] = connections["reader"], connections["default"]
    yield
    connections["reader"] = reader


@pytest.fixture
def mailbox():
    mail_storage().prepare()
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", "a lamp on the shore")
    return Mailbox.objects.get()


@pytest.mark.parametrize(
    ("moment", "holds", "within"),
    [
        (NOW - HOUR, False, False),
        (NOW - timedelta(minutes=59), False, True),
        (NOW, False, True),
        (NOW + timedelta(minutes=1), True, True),
        (NOW + HOUR, True, False),
        (AHEAD, False, False),
        (None, False, False),
    ],
)
def test_what_a_stored_time_says(moment, holds, within):
    assert stored_time.holds(moment, NOW, HOUR) is holds
    assert stored_time.within(moment, NOW, HOUR) is within
    domain = Domain.objects.create(name="example.org")
    DnsCheck.objects.create(domain=domain, due_at=moment)
    assert DnsCheck.objects.filter(stored_time.holding("due_at", NOW, HOUR)).exists() is holds
    assert DnsCheck.objects.filter(stored_time.lately("due_at", NOW, HOUR)).exists() is within
    assert DnsCheck.objects.filter(stored_time.due("due_at", NOW, HOUR)).exists() is (moment is not None and not holds)


def test_mail_that_waits_is_tried(enqueue, caplog):
    enqueue("bob@remote.test", "cy@remote.test")
    QueuedRecipient.objects.update(next_attempt_at=AHEAD + HOUR)
    assert execute(ClaimDue("one", 10, 1200, [])) == []
    assert FallDue()(NOW) == 2
    assert "a clock was ahead" in caplog.text
    assert len(execute(ClaimDue("one", 10, 1200, []))) == 2
    # A pause that was meant stays.
    QueuedRecipient.objects.update(next_attempt_at=NOW + 4 * HOUR, claim_token="")
    assert FallDue()(NOW) == 0


def test_a_lease_ends_only_when_its_worker_had_time_to_renew_it(enqueue, monkeypatch):
    enqueue("bob@remote.test", "cy@remote.test")
    QueuedRecipient.objects.update(next_attempt_at=AHEAD, claim_token="dead")
    clock = [NOW]
    monkeypatch.setattr("mailsuite.queue.overdue.database_clock", lambda: clock[0])
    job = FallDue()
    assert job(NOW) == 0
    # One of them is renewed meanwhile: by the clock as it is now, or while it is still wrong.
    first, second = QueuedRecipient.objects.order_by("pk")
    QueuedRecipient.objects.filter(pk=first.pk).update(next_attempt_at=AHEAD + HOUR)
    clock[0] += UNRENEWED
    assert job(NOW) == 1
    second.refresh_from_db()
    assert second.next_attempt_at == clock[0]


def test_a_maildrop_is_open_again(mailbox):
    # The store asks the clock itself, long after NOW in a long run.
    soon = datetime.now(UTC) + timedelta(minutes=5)
    lease = MaildropLease.objects.create(mailbox=mailbox, token="dead", expires_at=soon, uid_next=1)
    with pytest.raises(Refused):
        execute(LeaseMaildrop(mailbox.pk, "new", 600))
    MaildropLease.objects.filter(pk=lease.pk).update(expires_at=AHEAD)
    assert execute(LeaseMaildrop(mailbox.pk, "new", 600)).message_count == 0


def test_logins_are_free_and_counted_anew():
    attempt = throttle.Attempt("192.0.2.1", "ann@example.org")
    for _ in range(60):
        throttle.record_failure(attempt, AHEAD)
    assert throttle.verdict(attempt, AHEAD) is throttle.Verdict.BLOCKED
    assert throttle.verdict(attempt, NOW) is throttle.Verdict.FREE
    throttle.record_failure(attempt, NOW)
    assert set(LoginThrottle.objects.values_list("failures", flat=True)) == {1}


def test_repeated_passwords_are_told_by_what_was_seen_lately():
    repeats = throttle.Repeats()
    assert not repeats.is_repeat(b"x", AHEAD)
    assert not repeats.is_repeat(b"x", NOW)
    assert repeats.is_repeat(b"x", NOW)


def test_bans_end_and_points_begin_anew_but_what_people_chose_stays():
    guesser = ip_network("192.0.2.1/32")
    assert bans.record({(guesser, "password-guessing"): 40}, AHEAD) == 1
    bans.ban("192.0.2.2", reason=Ban.Reason.BY_HAND, ends_at=AHEAD + timedelta(days=365))
    BAN_LIST.forget()
    BAN_LIST.refresh()
    assert BAN_LIST.check("192.0.2.1") is None
    assert BAN_LIST.check("192.0.2.2") is not None
    BAN_LIST.forget()
    Offence.objects.update(points=39, window_started_at=AHEAD)
    assert bans.record({(guesser, "password-guessing"): 1}, NOW) == 0
    assert Offence.objects.get().points == 1
    assert bans.record({(guesser, "password-guessing"): 40}, NOW) == 1


def test_who_was_asked_to_come_again_passes():
    def may_pass(now):
        return greylist.may_pass(
            greylist.GREYLISTED, network="192.0.2.0/24", reverse_path="a@b.example", recipients=["ann@example.org"],
            wait=timedelta(minutes=1), now=now,
        )  # fmt: skip

    assert not may_pass(AHEAD)
    assert may_pass(NOW)


def test_records_are_looked_at_and_drift_is_told(monkeypatch, mailbox):
    domain = mailbox.domain
    looked = []
    monkeypatch.setattr(checking, "finish_check", lambda domain, memory: looked.append(domain))
    assert checking.begin_check(domain.pk, AHEAD)
    DnsCheck.objects.update(due_at=AHEAD + HOUR)
    assert checking.check_due(NOW) == 1 and looked == [domain]
    DnsCheck.objects.update(worse_since=AHEAD, alarmed_at=AHEAD)
    drift.tell_of_drift(NOW)
    assert DnsCheck.objects.get().alarmed_at == NOW


def test_a_full_mailbox_is_warned_of(mailbox):
    Mailbox.objects.update(quota_octets=100)
    usage, _ = Usage.objects.get_or_create(mailbox=mailbox)
    Usage.objects.filter(pk=usage.pk).update(used_octets=99, quota_warned_at=AHEAD)
    assert warn_full_mailboxes(NOW) == 1
    Usage.objects.filter(pk=usage.pk).update(used_octets=99)
    assert warn_full_mailboxes(NOW) == 0


def test_reports_are_made_and_sent(monkeypatch):
    days = []
    monkeypatch.setattr(preparing, "_prepare_day", lambda day, *_: days.append(day) or 1)
    monkeypatch.setattr(preparing, "submitter", lambda: Domain(name="example.org"))
    ReportSettings.objects.create(pk=1, prepared_day=AHEAD.date())
    assert preparing.prepare(NOW) == 1
    assert days == [(NOW - preparing.SETTLED_AFTER).date() - timedelta(days=1)]
    asked = []
    monkeypatch.setattr(report_sending, "_find_all", lambda due, _: asked.extend(due))
    monkeypatch.setattr(report_sending.asyncio, "run", lambda _: [])
    for number, moment in enumerate((AHEAD, NOW + 8 * HOUR, NOW)):
        OutgoingReport.objects.create(policy_domain=f"{number}.example", day=date(2026, 1, 1), next_attempt_at=moment)
    with pytest.raises(ValueError, match="zip"):
        report_sending.send_due(NOW)
    assert [report.policy_domain for report in asked] == ["0.example", "2.example"]


def test_policies_of_others_are_fetched_again():
    policy = Policy(Mode.ENFORCE, ("mx.far.example",), 604_800)
    known.keep("far.example", "1", policy, AHEAD)
    known.note_failure("far.example", "no answer", AHEAD)
    assert known.find("far.example", NOW).may_try
    assert known.to_refresh(NOW, 10) == ["far.example"]


def test_whom_people_write_to_is_learned(mailbox):
    Progress.objects.create(name=contacts.PROGRESS, last_id=first_id(AHEAD))
    story = Story.objects.create(
        id=new_id(), kind="submission", outcome="accepted", at=NOW, sender_mailbox=mailbox, message_id="<1@example.org>"
    )
    contacts.learn_submissions(NOW)
    assert Progress.objects.get().last_id == story.pk
    assert Sender.objects.filter(mailbox=mailbox).exists()


def test_the_log_says_once_that_a_clock_was_ahead(caplog):
    Story.objects.create(id=first_id(AHEAD), kind="inbound", outcome="accepted", at=AHEAD)
    job = FallDue()
    job(NOW)
    job(NOW)
    assert caplog.text.count("a clock was ahead") == 1 and f"{AHEAD:%Y-%m-%d %H:%M}" in caplog.text


def test_days_to_come_are_forgotten(mailbox):
    for day in (NOW.date(), AHEAD.date()):
        SendingDay.objects.create(mailbox=mailbox, day=day, messages=5)
        Alarm.objects.create(mailbox=mailbox, kind=Alarm.Kind.VOLUME, day=day, raised_at=NOW)
    sending.forget_old(NOW)
    alarms.forget_old(NOW)
    assert list(SendingDay.objects.values_list("day", flat=True)) == [NOW.date()]
    assert list(Alarm.objects.values_list("day", flat=True)) == [NOW.date()]
