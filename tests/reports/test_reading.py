"""Report mail of every shape, as reporters send it and as attackers do: what is counted, once, and what is said."""

import base64
import gzip
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import OperationalError
from oracles import TestKey
from report_mail import (
    FORGED,
    NOW,
    OWN,
    SHOP,
    YESTERDAY,
    authentication_of,
    head,
    mail,
    report_mail,
    report_xml,
)

from mailsuite.directory.models import Domain, Mailbox
from mailsuite.mail.header import header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import signature_fields
from mailsuite.mailauth.dmarc_report import Reason, Record, build_report
from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS
from mailsuite.provisioning import services
from mailsuite.records.models import Observation
from mailsuite.records.report_addresses import names_address
from mailsuite.reports import admission, dmarc_import, reading
from mailsuite.reports.forwarded import SECONDS_A_MAIL, SECONDS_A_RUN, NoAnswer, Signers
from mailsuite.reports.models import (
    DmarcDay,
    DmarcRecord,
    DmarcReport,
    FailureReport,
    IncomingReport,
    OutgoingReport,
)
from mailsuite.reports.reading import MAX_ATTEMPTS, read_waiting
from mailsuite.resolver.answers import Answer, Status, ZoneResolver
from mailsuite.trace.models import Story

DAY = date(2026, 11, 23)


def counts(**filters):
    """(source, messages, aligned, rejected) of each row of the days."""
    return sorted(DmarcDay.objects.filter(**filters).values_list("source", "messages", "aligned", "rejected"))


def zipped(octets):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("report.xml", octets)
    return out.getvalue()


XML = report_xml(OWN, SHOP, FORGED)


@pytest.mark.parametrize(
    "octets",
    [
        mail(gzip.compress(XML)),
        mail(gzip.compress(XML), "application/octet-stream", "report"),
        mail(gzip.compress(XML), "image/png", "logo.png"),
        mail(zipped(XML), "application/zip", "r.zip"),
        mail(zipped(XML), "application/gzip", "r.gz"),
        mail(XML, "text/xml", "r.xml"),
        mail(XML, "text/plain", "", "8bit"),
        mail(b"\xef\xbb\xbf" + XML, "text/xml", "r.xml", "8bit"),
        b"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(gzip.compress(XML)),
        b"Subject: x\r\n\r\n" + XML,
    ],
    ids=["gzip", "octets", "mistyped", "zip", "zip as gzip", "xml", "text", "bom", "bare gzip", "bare text"],
)  # fmt: skip
def test_the_report_is_found_whatever_its_file_is_called(file_report, octets):
    incoming = file_report(octets)
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.reason, incoming.is_verified) == ("read", "", True)
    assert incoming.sender_domain == "reporter.example"
    assert counts(day=DAY) == [("", 3, 0, 3), ("example.org", 10, 10, 0), ("shop.example", 4, 0, 0)]
    report = DmarcReport.objects.get()
    assert (report.record_count, report.records_read, report.message_count, report.aligned_count) == (3, 3, 17, 10)
    assert report.policy_published == "v=DMARC1; p=none"


def several(*files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, octets in files:
            file.writestr(name, octets)
    return out.getvalue()


def without(octets, field):
    return b"\r\n".join(line for line in octets.split(b"\r\n") if not line.startswith(field))


@pytest.mark.parametrize(
    "octets",
    [
        mail(gzip.compress(XML)).replace(b"Encoding: base64", b"Encoding: base64;"),
        mail(gzip.compress(XML)).replace(b"Encoding: base64", b"Encoding: (as ever) base64 (so)"),
        without(mail(gzip.compress(XML)), b"Content-Transfer-Encoding"),
        mail(gzip.compress(XML)).replace(b"Encoding: base64", b"Encoding: 8bit"),
        mail(several(("reports/", b""), ("reports/r.xml", XML)), "application/zip", "r.zip"),
        mail(several(("read me.txt", b"Hello"), ("r.xml", XML)), "application/zip", "r.zip"),
        mail(gzip.compress(XML)).replace(b"=\r\n", b"\r\n").replace(b"=\r\n", b"\r\n"),  # of which there may be two
    ],
    ids=["semicolon", "comments", "no encoding", "wrong encoding", "folder", "several members", "no padding"],
)
def test_a_file_is_found_however_it_is_packed(file_report, octets):
    incoming = file_report(octets)
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.reason) == ("read", "")
    assert DmarcReport.objects.get().message_count == 17


def test_several_reports_of_one_mail_all_count(file_report):
    files = [(f"{number}.xml", report_xml(report_id=str(number))) for number in range(3)]
    incoming = file_report(mail(several(*files, ("bad.xml", b"<feedback><x>")), "application/zip", "r.zip"))
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.rows) == ("read", 6)
    assert incoming.reason.startswith("1 of its 4 reports are not counted: it is no well-formed XML")
    assert counts() == [("example.org", 30, 30, 0)]


def test_what_was_mended_in_a_report_is_told(file_report):
    odd = XML.replace(b"Reporter", b"M\xfcller & Sons").replace(b"192.0.2.1<", b"nowhere<")
    incoming = file_report(mail(gzip.compress(odd)))
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert (incoming.state, DmarcReport.objects.get().org_name) == ("read", "Müller & Sons")
    assert incoming.reason == (
        "read in spite of octets that are no UTF-8, an & that stands alone, 1 record without a usable address or"
        " number, which are left out"
    )


def test_a_reporter_without_a_name_is_called_by_its_domain(file_report):
    file_report(mail(gzip.compress(XML.replace(b"Reporter", b"").replace(b"dmarc@reporter.example", b""))))
    read_waiting(NOW)
    assert DmarcReport.objects.get().org_name == "reporter.example"


@pytest.mark.parametrize(
    ("reason", "overridden"),
    [
        (Reason("local_policy", "arc=pass as[2].d=lists.example"), 4),
        (Reason("local_policy", "ARC = pass"), 4),
        (Reason("local_policy", "arc=fail"), 0),
        (Reason("local_policy", "marc=passed"), 0),
        (Reason("other", "said; forwarded"), 0),
        (Reason("forwarded"), 4),
    ],
)
def test_a_seal_that_the_receiver_believed_counts_as_forwarded(file_report, reason, overridden):
    """RFC 8617 §7.2.1."""
    file_report(report_mail(replace(SHOP, reasons=(reason,))))
    read_waiting(NOW)
    assert DmarcDay.objects.get().overridden == overridden


REPORTER_KEY = TestKey("reporter.example", "r1", rsa.generate_private_key(65537, 1024))
REPORTER_ZONE = {(REPORTER_KEY.name, "TXT"): [REPORTER_KEY.record]}


def signed(octets):
    end = header_end(octets, 0, len(octets))
    hashed = RelaxedBodyHash()
    hashed.update(octets[end:])
    fields = signature_fields(
        Header.parse(octets[:end]), hashed.digest(), [REPORTER_KEY.signing_key], int(NOW.timestamp())
    )
    return fields + octets


def forward(*mails):
    """A mail that has others as its attachments, as mail programs forward several at once."""
    parts = b"".join(b"--f\r\nContent-Type: message/rfc822\r\n\r\n%b\r\n" % one for one in mails)
    return (
        b"From: me@elsewhere.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n"
        b"--f\r\nContent-Type: text/plain\r\n\r\nThese came to the old address.\r\n" + parts + b"--f--\r\n"
    )


def read_forwarded(zone=REPORTER_ZONE):
    return read_waiting(NOW, make_resolver=lambda: ZoneResolver(zone))


@pytest.mark.parametrize(
    ("authentication", "kind"),
    [(authentication_of("elsewhere.example", signer="elsewhere.example"), "inbound"), (None, "submission")],
    ids=["from elsewhere", "from a user"],
)
def test_reports_that_are_forwarded_count_by_the_signature_of_their_own_mail(file_report, authentication, kind):
    octets = forward(signed(report_mail()), signed(report_mail(report_id="2")))
    incoming = file_report(octets, authentication=authentication, story_kind=kind)
    assert read_forwarded() == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.reason, incoming.sender_domain) == ("read", "", "reporter.example")
    assert counts() == [("example.org", 20, 20, 0)]


ENCODED = base64.encodebytes(signed(report_mail())).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + ENCODED,
        b'Content-Type: application/octet-stream; name="x.EML"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + ENCODED,
        b'Content-Type: text/plain; name="x.eml"\r\n\r\n' + signed(report_mail()),
        b'Content-Type: message/rfc822; name="x.eml"\r\n\r\n' + signed(report_mail()),
    ],
    ids=["encoded", "file", "text", "named"],
)
def test_a_forwarded_mail_is_found_however_it_is_attached(file_report, part):
    octets = forward(b"Subject: x\r\n\r\n").replace(b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n", part)
    incoming = file_report(octets, authentication=authentication_of("elsewhere.example", signer="elsewhere.example"))
    read_forwarded()
    incoming.refresh_from_db()
    assert (incoming.state, incoming.sender_domain) == ("read", "reporter.example")


@pytest.mark.parametrize(
    ("octets", "zone"),
    [
        (forward(report_mail()), REPORTER_ZONE),
        (forward(signed(report_mail()).replace(b"A report.", b"Another.")), REPORTER_ZONE),
        (forward(signed(report_mail())), {}),
        (forward(signed(report_mail().replace(b"dmarc@reporter", b"dmarc@other"))), REPORTER_ZONE),
    ],
    ids=["unsigned", "changed", "no key", "signed by somebody else"],
)
def test_a_forwarded_report_that_nobody_proves_does_not_count(file_report, octets, zone):
    incoming = file_report(octets, authentication=authentication_of("elsewhere.example", signer="elsewhere.example"))
    assert read_forwarded(zone) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.cause) == ("uncounted", "unproved")
    assert not DmarcReport.objects.exists()


SILENT = {(REPORTER_KEY.name, "TXT"): Answer(Status.TEMPERROR)}


def test_a_forwarded_report_waits_for_dns_a_day_and_holds_nobody_up(file_report):
    octets = forward(signed(report_mail()))
    incoming = file_report(octets, authentication=authentication_of("elsewhere.example", signer="elsewhere.example"))
    file_report(report_mail(report_id="2"))
    assert read_forwarded(SILENT) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.attempt_count) == ("waiting", 0)
    IncomingReport.objects.filter(pk=incoming.pk).update(received_at=NOW - timedelta(hours=25))
    assert read_forwarded(SILENT) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.cause) == ("uncounted", "unproved")


class SlowResolver(ZoneResolver):
    """Each answer takes seven seconds of the clock."""

    def __init__(self, zone, clock):
        super().__init__(zone)
        self.clock = clock

    async def query(self, name, rdtype):
        self.clock.append(7.0)
        return await super().query(name, rdtype)


def test_time_for_dns_is_bounded_by_mail_and_by_run():
    clock = []
    signers = Signers(lambda: SlowResolver(REPORTER_ZONE, clock), NOW.timestamp(), lambda: sum(clock))
    one = signed(report_mail())
    signers.begin_mail()
    assert [signers.signed_by(one), signers.signed_by(one)] == ["reporter.example"] * 2
    asked = len(clock)
    assert sum(clock) > SECONDS_A_MAIL
    with pytest.raises(NoAnswer):
        signers.signed_by(signed(report_mail(report_id="2")))
    assert len(clock) == asked
    mails = 0
    while sum(clock) < SECONDS_A_RUN:
        signers.begin_mail()
        signers.signed_by(one)
        mails += 1
    signers.begin_mail()
    with pytest.raises(NoAnswer):
        signers.signed_by(one)
    assert len(clock) == asked * (1 + mails)


def test_who_administers_the_domain_vouches_for_what_they_forward(file_report, domains):
    by_address = {}
    for name in ("boss", "ann"):
        services.add_mailbox(f"{name}@example.org", "correct horse battery")
        by_address[name] = Mailbox.objects.get(address=f"{name}@example.org")
    domains["example.org"].administrators.add(by_address["boss"].user)
    for name, state in (("ann", "uncounted"), ("boss", "read")):
        incoming = file_report(forward(report_mail()), story_kind="submission")
        Story.objects.filter(pk=incoming.story_id).update(sender_mailbox=by_address[name].pk)
        read_forwarded({})
        incoming.refresh_from_db()
        assert incoming.state == state
    assert incoming.sender_domain == "reporter.example"
    assert counts() == [("example.org", 10, 10, 0)]


def test_rows_say_what_the_report_said(file_report):
    record = replace(SHOP, reasons=(Reason("mailing_list", "by list-id"),), envelope_to="there.example")
    file_report(report_mail(record))
    read_waiting(NOW)
    row = DmarcRecord.objects.get()
    assert (row.source_ip, row.source, row.count, row.disposition) == ("198.51.100.7", "shop.example", 4, "none")
    assert (row.header_from, row.envelope_from, row.envelope_to) == (
        *("example.org", "bounce.shop.example", "there.example"),
    )
    assert (row.dkim, row.spf) == ("pass shop.example s1", "pass bounce.shop.example")
    assert row.reasons == "mailing_list by list-id"
    assert DmarcDay.objects.get().overridden == 4


def test_the_same_report_counts_once(file_report):
    first, second = file_report(report_mail()), file_report(report_mail())
    file_report(report_mail(report_id="2"))
    file_report(report_mail(org="Another"))
    assert read_waiting(NOW) == 4
    states = dict(IncomingReport.objects.values_list("pk", "state"))
    assert (states[first.pk], states[second.pk]) == ("read", "duplicate")
    assert counts() == [("example.org", 30, 30, 0)]


@pytest.mark.parametrize(
    ("authentication", "kind", "verified"),
    [
        (authentication_of(), "inbound", True),
        (authentication_of(dmarc="fail"), "inbound", False),
        (authentication_of(dmarc="none"), "inbound", True),
        (authentication_of(dmarc="none", signer="esp.example"), "inbound", False),
        (authentication_of(dmarc="none", signer="mail.reporter.example"), "inbound", False),
        (authentication_of(dmarc="temperror"), "inbound", False),
        ({"nonsense": 1}, "inbound", False),
        (None, "inbound", False),
    ],
)
def test_only_authenticated_reports_count(file_report, authentication, kind, verified):
    incoming = file_report(report_mail(), authentication=authentication, story_kind=kind)
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert incoming.cause == ("" if verified else "unproved")
    assert DmarcReport.objects.count() == DmarcRecord.objects.count() == verified
    assert counts() == ([("example.org", 10, 10, 0)] if verified else [])


@pytest.mark.parametrize("kind", ["submission", "notification"])
def test_our_own_users_have_nothing_to_report(file_report, kind):
    incoming = file_report(report_mail(), authentication=None, story_kind=kind)
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert (incoming.state, incoming.cause) == ("uncounted", "own-user")
    assert not DmarcReport.objects.exists()


@pytest.mark.parametrize("written", ["DMARC reports <dmarc@reporter.example>", "dmarc@reporter.example (once @ night)"])
def test_what_we_report_to_ourselves_counts(file_report, written):
    incoming = file_report(report_mail(), authentication=None, story_kind="notification")
    Story.objects.filter(pk=incoming.story_id).update(from_text=written)
    OutgoingReport.objects.create(
        policy_domain="example.org", day=DAY, next_attempt_at=NOW, story_id=incoming.story_id, state="sent"
    )
    read_waiting(NOW)
    assert DmarcReport.objects.get().reporter == "reporter.example"


def test_what_does_not_count_is_neither_opened_nor_unpacked(file_report, monkeypatch):
    incoming = file_report(report_mail(), authentication=None)
    monkeypatch.setattr(reading, "find_reports", lambda *_: pytest.fail("it was opened"))
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert (incoming.state, incoming.rows, incoming.octets_read) == ("uncounted", 0, 0)


@pytest.mark.parametrize(
    ("sender", "email", "org", "extra", "subject", "counts_as"),
    [
        ("reporter.example", "dmarc@reporter.example", "Reporter", "", "", "reporter.example"),
        ("mail.reporter.example", "dmarc@reporter.example", "Reporter", "", "", "mail.reporter.example"),
        # The large ones name themselves in one of several places, and not always in the address.
        ("dmarc.reporter.example", "help@else.example", "Reporter", "", "reporter.example", "dmarc.reporter.example"),
        ("reporter.example", "help@else.example", "reporter.example", "", "", "reporter.example"),
        ("reporter.example", "", "Reporter", "https://support.reporter.example/dmarc", "", "reporter.example"),
        ("evil.example", "dmarc@reporter.example", "reporter.example", "https://reporter.example/", "", ""),
        ("evil.example", "evil.example@reporter.example", "Reporter", "", "", ""),
        ("evil.example", "", "Reporter", "https://reporter.example/evil.example", "", ""),
        ("evil.example", "dmarc@notevil.example", "Reporter", "", "", ""),
    ],
)  # fmt: skip
def test_who_sends_is_who_reports(file_report, sender, email, org, extra, subject, counts_as):
    about = replace(head(org=org), email=email, extra_contact_info=extra)
    octets = mail(gzip.compress(build_report(about, [OWN])))
    octets = octets.replace(b"Report Domain: example.org", f"Report Domain: x Submitter: {subject}".encode())
    incoming = file_report(octets, authentication=authentication_of(sender, signer=sender))
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert incoming.cause == ("" if counts_as else "not-the-reporter")
    assert list(DmarcReport.objects.values_list("reporter", flat=True)) == [counts_as] * bool(counts_as)
    if not counts_as:
        assert "evil.example sent it" in incoming.reason and incoming.rows == 0


def test_a_forged_report_does_not_take_the_place_of_the_true_one(file_report):
    file_report(report_mail(FORGED), authentication=None)
    evil = replace(head(), email="x@evil.example")
    file_report(
        mail(gzip.compress(build_report(evil, [FORGED]))),
        authentication=authentication_of("evil.example", signer="evil.example"),
    )
    file_report(report_mail(OWN))
    read_waiting(NOW)
    assert ("example.org", 10, 10, 0) in counts()
    assert set(DmarcReport.objects.values_list("reporter", flat=True)) == {"evil.example", "reporter.example"}


def test_a_report_counts_for_the_hosted_domain_above_its_policy_domain(file_report, domains):
    file_report(report_mail(domain="news.example.org"))
    read_waiting(NOW)
    assert set(DmarcDay.objects.values_list("domain__name", "messages")) == {("example.org", 10)}


def test_a_domain_may_be_written_in_its_own_letters(file_report, domains):
    services.add_domain("bücher.example", key_pairs=[])
    domains["bücher.example"] = Domain.objects.get(name="xn--bcher-kva.example")
    for number, name in enumerate(("xn--bcher-kva.example", "bücher.example", "news.bücher.example")):
        file_report(report_mail(domain=name, report_id=str(number)), "bücher.example")
    read_waiting(NOW)
    assert set(DmarcDay.objects.values_list("domain__name", "messages")) == {("xn--bcher-kva.example", 30)}


@pytest.mark.parametrize(
    ("record", "counted"),
    [
        ("", False),
        ("v=DMARC1; p=none; rua=mailto:dmarc-reports@example.net", False),
        ("v=DMARC1; p=none; rua=mailto:a@b.example, mailto:DMARC-Reports@example.org!10m", True),
    ],
)
def test_a_report_comes_to_the_domain_that_it_speaks_of(file_report, domains, record, counted):
    """Or to where that domain's published record sends it, as somebody with several domains may have it."""
    if record:
        Observation.objects.create(
            domain=domains["example.net"], name="_dmarc.example.net", type="TXT", source="public", at=NOW,
            values=json.dumps([record]), verdict="ok",
        )  # fmt: skip
    incoming = file_report(report_mail(domain="example.net"), "example.org")
    read_waiting(NOW, names_address)
    incoming.refresh_from_db()
    assert incoming.cause == ("" if counted else "other-domain")
    assert list(DmarcDay.objects.values_list("domain__name", "messages")) == [("example.net", 10)] * counted


def test_rows_are_bounded_by_report_by_reporter_and_by_domain(file_report, monkeypatch):
    for name, most in (("MAX_ROWS", 6), ("REPORTER_ROWS_A_DAY", 10), ("DOMAIN_ROWS_A_DAY", 13)):
        monkeypatch.setattr(admission, name, most)
    many = [replace(OWN, source_ip=f"192.0.2.{n}", count=1) for n in range(9)]
    now = datetime.now(UTC)
    yesterday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)

    def report(sender, number):
        about = replace(head(report_id=str(number), begins=yesterday), email=f"r@{sender}")
        incoming = file_report(
            mail(gzip.compress(build_report(about, many))), authentication=authentication_of(sender, signer=sender)
        )
        read_waiting(now)
        incoming.refresh_from_db()
        return incoming.cause, incoming.rows

    assert report("one.example", 1) == ("", 7)
    left_out = DmarcReport.objects.get()
    assert (left_out.record_count, left_out.records_read, left_out.records_left_out) == (9, 6, 3)
    assert left_out.message_count == 9
    # Names below one domain are one reporter.
    assert report("sub.one.example", 2) == ("", 4)
    assert report("one.example", 3) == ("over-budget", 0)
    assert report("two.example", 4) == ("", 3)
    assert report("three.example", 5) == ("over-budget", 0)
    assert DmarcRecord.objects.count() == 11
    IncomingReport.objects.update(read_at=now - timedelta(days=1))
    assert report("one.example", 6) == ("", 7)


def test_what_a_mail_itself_has_had_is_a_part_of_the_share(file_report, monkeypatch):
    monkeypatch.setattr(admission, "REPORTER_ROWS_A_DAY", 8)
    many = [replace(OWN, source_ip=f"192.0.2.{n}", count=1) for n in range(4)]
    files = [(f"{number}.xml", report_xml(*many, report_id=str(number))) for number in range(4)]
    incoming = file_report(mail(several(*files), "application/zip", "r.zip"))
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert (incoming.state, incoming.rows) == ("read", 5 + 4)
    assert incoming.reason.startswith("2 of its 4 reports are not counted: reporter.example has reported more than")
    assert DmarcRecord.objects.count() == 7


def test_octets_are_bounded_by_reporter_and_counted_when_nothing_comes_of_them(file_report, monkeypatch):
    monkeypatch.setattr(admission, "REPORTER_OCTETS_A_DAY", len(XML))
    broken = file_report(mail(gzip.compress(XML[:-10] + b" " * 100)))
    after = file_report(report_mail())
    read_waiting(datetime.now(UTC))
    broken.refresh_from_db()
    after.refresh_from_db()
    assert (broken.state, broken.octets_read, broken.rows) == ("failed", 2 * (len(XML) + 90), 0)
    assert (after.cause, after.octets_read) == ("over-budget", 0)


def test_a_run_ends_after_its_time_and_the_next_goes_on(file_report):
    for number in range(3):
        file_report(report_mail(report_id=str(number)))
    ticks = iter([0.0, 1.0, reading.RUN_SECONDS + 1])
    assert read_waiting(NOW, clock=lambda: next(ticks)) == 1
    assert read_waiting(NOW) == 2


def test_the_day_is_where_most_of_the_period_lies(file_report):
    file_report(report_mail(begins=YESTERDAY - timedelta(hours=8)))
    read_waiting(NOW)
    assert DmarcDay.objects.get().day == DAY


DSN = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\n\r\nIt failed.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("octets", "state", "words"),
    [
        (b"Subject: buy\r\n\r\nnow\r\n", "failed", "there is no report in it"),
        (b"", "failed", "there is no report in it"),
        (DSN, "ignored", "a delivery notification"),
        (b"Auto-Submitted: auto-replied (vacation)\r\n\r\nI am away.\r\n", "ignored", "an automatic reply"),
        (report_mail(domain="elsewhere.example"), "failed", "elsewhere.example, which is not hosted here"),
        (report_mail(domain="org"), "failed", "not hosted here"),
        (report_mail(replace(OWN, count=0)), "failed", "it has no record"),
        (mail(XML[:-30], "text/xml", "r.xml"), "failed", "no well-formed XML"),
        (mail(gzip.compress(XML)[:-9]), "failed", "cut off"),
        (mail(gzip.compress(b"<feedback>" + b" " * 50_000_000)), "failed", "times its size"),
        (b"Subject: x\r\n\r\n" + XML + b" " * MAX_MAIL_OCTETS, "failed", "larger than 2 MB"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000, "failed", "no report"),
        (mail(b"x", "application/gzip", "r.xml.gz", "base64; boundary=" + "é" * 100), "failed", "no report"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_report_is_kept_with_the_reason(file_report, octets, state, words):
    incoming = file_report(octets)
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert incoming.state == state and words in incoming.reason
    assert incoming.content is not None
    assert not DmarcReport.objects.exists() and not DmarcDay.objects.exists()
    assert read_waiting(NOW) == 0


MANY = [replace(OWN, source_ip=f"192.0.2.{n % 250}", count=1) for n in range(1200)]


def test_a_reading_that_was_broken_off_goes_on_and_counts_all_once(file_report, monkeypatch):
    incoming = file_report(report_mail(*MANY))
    whole, slices = dmarc_import._count, []

    def broken(report, records):
        slices.append(len(records))
        if len(slices) == 2:
            raise OperationalError("the server closed the connection")
        return whole(report, records)

    monkeypatch.setattr(dmarc_import, "_count", broken)
    assert read_waiting(NOW) == 0
    incoming.refresh_from_db()
    assert (incoming.state, incoming.attempt_count) == ("waiting", 0)
    assert DmarcReport.objects.get().records_read == dmarc_import.SLICE
    assert read_waiting(NOW) == 1
    assert slices == [500, 500, 500, 200]
    assert DmarcRecord.objects.count() == 1200
    assert sum(row[1] for row in counts()) == 1200 and DmarcDay.objects.count() == 250


def test_another_host_at_the_same_report_leaves_the_rest_to_the_first(file_report):
    file_report(report_mail(*MANY))
    report = None
    whole = dmarc_import._count

    def meanwhile(one, records):
        nonlocal report
        report = one
        DmarcReport.objects.filter(pk=one.pk).update(records_read=1000)
        return whole(one, records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dmarc_import, "_count", meanwhile)
        read_waiting(NOW)
    assert report is not None and not DmarcRecord.objects.exists()


def test_a_report_that_ends_the_process_is_given_up(file_report, monkeypatch):
    incoming = file_report(report_mail())
    monkeypatch.setattr(reading, "find_reports", lambda *_: (_ for _ in ()).throw(SystemExit))
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(SystemExit):
            read_waiting(NOW)
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert incoming.state == "failed" and "broken off 3 times" in incoming.reason


def test_a_bug_of_ours_is_no_reason_to_try_for_ever(file_report, monkeypatch, caplog):
    incoming = file_report(report_mail())
    monkeypatch.setattr(reading, "find_reports", lambda *_: 1 / 0)
    assert read_waiting(NOW) == 1
    incoming.refresh_from_db()
    assert incoming.state == "failed" and str(incoming) in incoming.reason
    assert "ZeroDivisionError" in caplog.text


FAILURE = (
    b"From: r@reporter.example\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
    b"--b\r\n\r\nOne failed.\r\n"
    b"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: %s\r\nVersion: 1\r\nUser-Agent: x\r\n"
    b"Auth-Failure: dmarc\r\nReported-Domain: Example.org\r\nSource-IP: 203.0.113.9\r\nDelivery-Result: reject\r\n"
    b"Original-Mail-From: <x@evil.example>\r\nArrival-Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n"
    b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
    b"From: Boss <boss@example.org>\r\nSubject: =?utf-8?q?Pay_=E2=82=AC?=\r\n"
    b"--b--\r\n"
)  # fmt: skip


def test_failure_reports_are_taken_in(file_report):
    incoming = file_report(FAILURE % b"auth-failure")
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert (incoming.state, incoming.reason) == ("read", "")
    found = FailureReport.objects.get()
    assert (found.domain.name, found.source_ip, found.auth_failure) == ("example.org", "203.0.113.9", "dmarc")
    assert (found.delivery_result, found.rfc5321_mail_from, found.reporter) == (
        *("reject", "x@evil.example", "reporter.example"),
    )
    assert (found.rfc5322_from, found.subject) == ("Boss <boss@example.org>", "Pay €")
    assert found.arrived_at.isoformat() == "2026-11-23T09:00:00+00:00"


@pytest.mark.parametrize("told", ["Fri, 31 Dec 9999 23:59:59 +0000", "Mon, 1 Jan 0099 00:00:00 +0000", "no date"])
def test_a_failure_that_cannot_have_been_then_was_when_the_report_came(file_report, told):
    """One of the year 9999 would be kept for ever."""
    date = b"Mon, 23 Nov 2026 10:00:00 +0100"
    incoming = file_report((FAILURE % b"auth-failure").replace(date, told.encode()))
    read_waiting(NOW)
    assert FailureReport.objects.get().arrived_at == incoming.received_at


def test_a_failure_report_without_a_domain_is_about_that_in_from(file_report):
    octets = (FAILURE % b"auth-failure").replace(b"Reported-Domain: Example.org\r\n", b"")
    file_report(octets.replace(b"Feedback-Type: auth-failure\r\n", b""))
    read_waiting(NOW)
    assert FailureReport.objects.get().domain.name == "example.org"


PLAIN_FAILURE = (
    b"From: r@reporter.example\r\nAuto-Submitted: auto-replied\r\n"
    b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
    b"Somebody claims to be you.\r\n\r\n  Sender Domain: example.org\r\n  Sender IP Address: 203.0.113.9\r\n"
    b"  Received date: Mon, 23 Nov 2026 10:00:00 +0100\r\n  SPF Alignment: no\r\n\r\n"
    b"------ This is a copy of the headers that were received before the error was detected.\r\n\r\n"
    b"From: Boss <boss@example.org>\r\nSubject: Pay\r\n\r\n--b--\r\n"
)


def test_a_failure_report_that_is_text_alone_is_taken_in(file_report):
    """As Exim sends it, and calls it an automatic reply."""
    incoming = file_report(PLAIN_FAILURE)
    file_report(PLAIN_FAILURE.replace(b"Sender IP Address", b"Sender"))
    read_waiting(NOW)
    row = FailureReport.objects.get()
    assert (row.incoming_id, row.domain.name, row.source_ip) == (incoming.pk, "example.org", "203.0.113.9")
    assert (row.auth_failure, row.rfc5322_from, row.subject) == ("dmarc", "Boss <boss@example.org>", "Pay")
    assert row.arrived_at == datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_other_feedback_is_no_failure_report(file_report):
    incoming = file_report(FAILURE % b"abuse")
    read_waiting(NOW)
    incoming.refresh_from_db()
    assert incoming.state == "failed" and "abuse" in incoming.reason


@pytest.mark.parametrize(
    ("dkim", "spf", "expected"),
    [
        ([("example.org", "pass")], [("example.org", "pass")], "example.org"),
        ([("example.org", "pass"), ("esp.example", "pass")], [], "esp.example"),
        ([("example.org", "pass")], [("bounce.esp.example", "pass")], "esp.example"),
        ([("mail.example.org", "pass")], [], "example.org"),
        ([("esp.example", "fail")], [("x.example", "softfail")], ""),
        ([], [], ""),
    ],
)
def test_who_vouches_for_a_source(dkim, spf, expected):
    from mailsuite.mailauth.dmarc_report import DkimResult, SpfResult
    from mailsuite.reports.sources import source_of

    record = Record(
        "192.0.2.1", 1, "none", True, True, "example.org",
        dkim=tuple(DkimResult(domain, "s", result) for domain, result in dkim),
        spf=tuple(SpfResult(domain, result) for domain, result in spf),
    )  # fmt: skip
    assert source_of(record, "example.org") == expected
