"""A day of stories becomes reports: right counts, sent once, to those who agreed, in the form of RFC 9990 §3.5."""

import email
import email.policy
import gzip
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone
from report_mail import REJECT, checked

from mailsuite.ids import COUNTER_BITS, EPOCH_MS, reference
from mailsuite.mailauth.dmarc_report_reader import read_records, summarize
from mailsuite.provisioning import services
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.reports import sending
from mailsuite.reports.models import DmarcDay, IncomingReport, OutgoingReport, ReportExclusion
from mailsuite.reports.preparing import SETTLED_AFTER, SPREAD, prepare, report_settings
from mailsuite.reports.reading import read_waiting
from mailsuite.reports.sending import RETRIES, send_due
from mailsuite.resolver.answers import Answer, Status, ZoneResolver
from mailsuite.signing.keys import make_key_pairs
from mailsuite.signing.models import DkimKey
from mailsuite.store.models import Message
from mailsuite.trace.models import Story
from mailsuite.writer.operation import StoreBug
from mailsuite.writer.storage import mail_storage

DAY = date(2026, 11, 23)
MORNING = datetime(2026, 11, 24, 7, tzinfo=UTC)
KEY_PAIRS = make_key_pairs()
AGREED = {("remote.example._report._dmarc.third.example", "TXT"): [b"v=DMARC1"]}
ZONE = {("_dmarc.remote.example", "TXT"): [REJECT.encode()], **AGREED}
# What a day brings: (client, result, asked, how many).
TRAFFIC = [("192.0.2.1", "pass", "none", 40), ("192.0.2.2", "pass", "none", 7), ("203.0.113.5", "fail", "reject", 23)]
_number = iter(range(10_000_000))


def at(moment):
    """An id that was drawn then."""
    return ((int(moment.timestamp() * 1000) - EPOCH_MS) << COUNTER_BITS) | next(_number)


def tell(moment, *, outcome="accepted", kind="inbound", domain="remote.example", rua="mailto:r@remote.example", **more):
    dmarc = {
        "policy_domain": domain, "from_domain": domain, "record": f"v=DMARC1; p=reject; rua={rua}",
    } | more.pop("dmarc", {})  # fmt: skip
    result = more.pop("result", "pass")
    data = checked(result, dmarc=dmarc, **more)
    return Story(id=at(moment), kind=kind, outcome=outcome, at=moment, data=data)


@pytest.fixture
def sender(domains):
    """mail.test, which signs by a record that was seen in DNS."""
    services.add_domain("mail.test", key_pairs=KEY_PAIRS)
    services.add_mailbox("ann@mail.test", "correct horse battery")
    DkimKey.objects.filter(domain__name="mail.test").update(seen_in_dns_at=timezone.now())
    return "mail.test"


@pytest.fixture
def day(sender):
    """A day of mail from remote.example, refused and accepted, and what does not belong to it."""
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    stories = [
        tell(noon + timedelta(seconds=n), client_address=client, result=result, asked=asked,
             outcome="refused" if asked == "reject" else "accepted")
        for client, result, asked, count in TRAFFIC
        for n in range(count)
    ]  # fmt: skip
    begin, end = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
    stories += [tell(begin), tell(end - timedelta(milliseconds=1))]
    left_out = [
        tell(begin - timedelta(milliseconds=1)), tell(end), tell(noon, outcome="deferred"),
        tell(noon, kind="submission"), tell(noon, recipients=["dmarc-reports@mail.test"]),
    ]  # fmt: skip
    Story.objects.bulk_create(stories + left_out)
    return len(stories)


def send(zone=ZONE, now=MORNING):
    resolvers = []

    def make():
        resolvers.append(ZoneResolver(zone))
        return resolvers[-1]

    return send_due(now, make)


def mailed():
    """The message in the queue, as its recipients will see it."""
    with mail_storage().open(QueuedMessage.objects.get().content.blob) as blob:
        return email.message_from_bytes(blob.read(), policy=email.policy.SMTP)


def test_a_day_of_stories_gives_the_right_counts(day):
    assert prepare(MORNING) == 1
    report = OutgoingReport.objects.get()
    assert (report.policy_domain, report.day, report.state, report.submitter) == (
        *("remote.example", DAY, "waiting", "mail.test"),
    )
    octets = gzip.decompress(report.octets)
    summary = summarize(lambda: [octets], MORNING)
    assert (summary.messages, summary.aligned, summary.records) == (day, day - 23, 3)
    assert (report.message_count, report.record_count) == (day, 3)
    assert summary.head.begins_at == datetime(2026, 11, 23, tzinfo=UTC)
    assert summary.head.ends_at == datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
    assert summary.head.org_name == "mail.test"
    rows = {(r.source_ip, r.disposition, r.dkim_aligned): r.count for r in read_records([octets])}
    assert rows == {
        ("192.0.2.1", "pass", True): 42, ("203.0.113.5", "reject", False): 23, ("192.0.2.2", "pass", True): 7
    }  # fmt: skip


def test_a_day_is_made_into_reports_once(day):
    assert prepare(MORNING) == 1
    made = OutgoingReport.objects.get()
    assert prepare(MORNING + timedelta(hours=1)) == 0
    # Broken off before it was noted, it is made again, but the report stays the one that was made first.
    settings = report_settings()
    settings.prepared_day = None
    settings.save()
    assert prepare(MORNING) == 0
    assert OutgoingReport.objects.get().octets == made.octets
    assert prepare(MORNING + timedelta(days=1)) == 1


def test_a_day_is_over_half_an_hour_after_midnight(day):
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    prepare(midnight + SETTLED_AFTER - timedelta(seconds=1))
    assert not OutgoingReport.objects.filter(day=DAY).exists()
    prepare(midnight + SETTLED_AFTER)
    assert OutgoingReport.objects.filter(day=DAY).count() == 1


def test_days_that_were_missed_are_made_up_for(sender):
    for back in range(6):
        moment = datetime(2026, 11, 23, 12, tzinfo=UTC) - timedelta(days=back)
        Story.objects.bulk_create([tell(moment)])
    settings = report_settings()
    settings.prepared_day = date(2026, 11, 10)
    settings.save()
    assert prepare(MORNING) == 3
    assert sorted(OutgoingReport.objects.values_list("day", flat=True)) == [date(2026, 11, n) for n in (21, 22, 23)]


def test_reports_go_out_hours_apart(sender):
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    Story.objects.bulk_create(tell(noon, domain=f"r{n}.example", rua=f"mailto:r@r{n}.example") for n in range(40))
    prepare(MORNING)
    times = list(OutgoingReport.objects.values_list("next_attempt_at", flat=True))
    first = datetime(2026, 11, 24, tzinfo=UTC) + SETTLED_AFTER
    assert len(set(times)) == 40 and all(first <= one <= first + SPREAD for one in times)
    assert max(times) - min(times) > SPREAD / 2


def test_the_mail_has_the_form_of_the_rfc_and_is_signed(day):
    prepare(MORNING)
    report = OutgoingReport.objects.get()
    assert send() == 1
    queued, recipient = QueuedMessage.objects.get(), QueuedRecipient.objects.get()
    assert (queued.reverse_path, recipient.forward_path, recipient.destination) == (
        *("", "r@remote.example", "remote.example"),
    )
    assert queued.held_at is None
    mail = mailed()
    identifier = f"{reference(report.pk)}@mail.test"
    begin, end = 1795392000, 1795478399
    name = f"mail.test!remote.example!{begin}!{end}!{reference(report.pk)}.xml.gz"
    assert re.fullmatch(
        rf"Report Domain: remote\.example\s+Submitter: mail\.test\s+Report-ID: <{identifier}>", mail["Subject"]
    )
    assert mail["Message-ID"] == f"<{identifier}>"
    assert mail["From"].addresses[0].addr_spec == "postmaster@mail.test"
    assert (mail["To"], mail["Auto-Submitted"]) == ("r@remote.example", "auto-generated")
    assert "d=mail.test" in mail["DKIM-Signature"]
    text, file = mail.iter_parts()
    assert file.get_content_type() == "application/gzip" and file.get_filename() == name
    assert summarize(lambda: [gzip.decompress(file.get_content())], MORNING).head.report_id == identifier
    assert "72 messages" in text.get_content()
    assert all(len(line) <= 998 for line in mail.as_bytes().split(b"\r\n"))
    report.refresh_from_db()
    assert (report.state, report.recipients, report.octets) == ("sent", "r@remote.example", None)


def test_it_is_sent_once_whatever_breaks_off(day, monkeypatch):
    prepare(MORNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "_settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            send()
    assert OutgoingReport.objects.get().state == "waiting" and QueuedMessage.objects.count() == 1
    assert send() == 1 and send() == 0
    assert QueuedMessage.objects.count() == 1


def test_what_is_sent_again_is_the_same(day, monkeypatch):
    prepare(MORNING)
    seen = []
    whole = sending.execute

    def refuse(operation):
        seen.append(operation.octets)
        if len(seen) == 1:
            raise StoreBug("x")
        return whole(operation)

    monkeypatch.setattr(sending, "execute", refuse)
    assert send() == 0
    assert send(now=MORNING + RETRIES[0]) == 1
    first, second = (email.message_from_bytes(octets, policy=email.policy.SMTP) for octets in seen)
    assert first["Message-ID"] == second["Message-ID"] and first["Subject"] == second["Subject"]
    files = [list(mail.iter_parts())[1] for mail in (first, second)]
    assert files[0].get_filename() == files[1].get_filename()
    assert files[0].get_content() == files[1].get_content()


@pytest.mark.parametrize(
    ("rua", "zone", "state", "recipients"),
    [
        ("mailto:r@third.example", ZONE, "sent", "r@third.example"),
        ("mailto:r@fourth.example", ZONE, "skipped", ""),
        ("mailto:r@fourth.example,mailto:r@remote.example", ZONE, "sent", "r@remote.example"),
        ("https://remote.example/", ZONE, "skipped", ""),
        ("mailto:nobody@mail.test", {**ZONE, ("remote.example._report._dmarc.mail.test", "TXT"): [b"v=DMARC1"]},
         "waiting", "nobody@mail.test"),
    ],
)  # fmt: skip
def test_only_those_who_agreed_get_it(sender, rua, zone, state, recipients):
    Story.objects.bulk_create([tell(datetime(2026, 11, 23, 12, tzinfo=UTC), rua=rua)])
    prepare(MORNING)
    send(zone)
    report = OutgoingReport.objects.get()
    assert (report.state, report.recipients if state == "sent" else recipients) == (state, recipients)
    assert bool(report.reason) is (state != "sent" or "," in rua)
    assert QueuedMessage.objects.exists() is (state == "sent")


def test_dns_that_does_not_answer_delays_and_in_the_end_drops_it(day):
    Story.objects.all().delete()
    Story.objects.bulk_create([tell(datetime(2026, 11, 23, 12, tzinfo=UTC), rua="mailto:r@third.example")])
    prepare(MORNING)
    dead = {("_dmarc.remote.example", "TXT"): Answer(Status.TEMPERROR)}
    now = MORNING
    for wait in RETRIES:
        assert send(dead, now) == 0
        report = OutgoingReport.objects.get()
        assert (report.state, report.next_attempt_at) == ("waiting", now + wait)
        assert send(ZONE, now + wait - timedelta(seconds=1)) == 0
        now += wait
    send(dead, now)
    report = OutgoingReport.objects.get()
    assert report.state == "skipped" and "could not be looked up" in report.reason


def test_an_address_whose_dns_is_dead_keeps_no_other_from_its_report(day):
    """It is waited for, since the report is made once; in the end the others get theirs."""
    Story.objects.all().delete()
    rua = "mailto:r@third.example,mailto:r@remote.example"
    Story.objects.bulk_create([tell(datetime(2026, 11, 23, 12, tzinfo=UTC), rua=rua)])
    prepare(MORNING)
    dead = {**ZONE, ("_dmarc.third.example", "TXT"): Answer(Status.TEMPERROR)}
    now = MORNING
    for wait in RETRIES:
        assert send(dead, now) == 0
        now += wait
    assert send(dead, now) == 1
    report = OutgoingReport.objects.get()
    assert (report.state, report.recipients) == ("sent", "r@remote.example")
    assert "_dmarc.third.example could not be looked up" in report.reason


def test_nothing_is_made_or_sent_when_switched_off_or_excluded_or_nobody_may_sign(day):
    ReportExclusion.objects.create(domain_name="remote.example")
    assert prepare(MORNING) == 0
    ReportExclusion.objects.all().delete()
    report_settings()
    settings = report_settings()
    settings.prepared_day, settings.sends_dmarc = None, False
    settings.save()
    assert prepare(MORNING) == 0
    settings.sends_dmarc = True
    settings.save()
    DkimKey.objects.update(seen_in_dns_at=None)
    assert prepare(MORNING) == 0
    DkimKey.objects.update(seen_in_dns_at=timezone.now())
    assert prepare(MORNING) == 1
    settings.sends_dmarc = False
    settings.save()
    assert send() == 0 and not QueuedMessage.objects.exists()


def test_our_own_report_comes_back_into_our_own_charts(sender, domains):
    """example.org is hosted here too: what others sent us in its name is reported to its own report reader."""
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    rua = "mailto:dmarc-reports@example.org"
    Story.objects.bulk_create(
        tell(noon, domain="example.org", rua=rua, client_address=client, result=result, asked=asked)
        for client, result, asked, count in TRAFFIC
        for _ in range(count)
    )
    assert prepare(MORNING) == 1 and send({}) == 1
    assert not QueuedMessage.objects.exists() and not Message.objects.exists()
    assert read_waiting(MORNING) == 1
    incoming = IncomingReport.objects.get()
    assert (incoming.state, incoming.reason, incoming.is_verified) == ("read", "", True)
    days = DmarcDay.objects.filter(domain=domains["example.org"], day=DAY)
    assert sorted(days.values_list("source_ip", "messages", "aligned", "rejected")) == [
        ("192.0.2.1", 40, 40, 0), ("192.0.2.2", 7, 7, 0), ("203.0.113.5", 23, 0, 23)
    ]  # fmt: skip
    # And nobody reports on that report.
    assert prepare(MORNING + timedelta(days=1)) == 0
