"""Reports through the whole suite: taken in from another host by SMTP, and made and sent about what others sent."""

import email
import email.policy
import gzip
import json
import smtplib
import time
from datetime import UTC, datetime, timedelta

import dkim
import pytest
from report_mail import FORGED, OWN, SHOP
from reporter import Reporter
from smtp_sink import Sink

from mailsuite.mailauth.dmarc_report_reader import read_records, summarize

pytestmark = pytest.mark.interop

READ = """
from datetime import UTC, datetime
from mailsuite.reports.models import *
from mailsuite.reports.reading import read_waiting
read_waiting(datetime.now(UTC))
"""
SHOW = """
import json
days = DmarcDay.objects.values_list("domain__name", "source", "source_ip", "messages", "aligned", "rejected")
mails = IncomingReport.objects.order_by("pk").values_list("address", "state", "is_verified", "reason")
print("FOUND", json.dumps({"days": sorted(map(list, days)), "mails": list(map(list, mails))}))
"""
REFUSED = """
from mailsuite.trace.models import Story
print("FOUND", Story.objects.filter(outcome="refused").count())
"""
# As if a day had gone by: yesterday's stories are today's.
TOMORROW = """
from datetime import UTC, datetime, timedelta
from mailsuite.signing.models import DkimKey
from mailsuite.reports.models import OutgoingReport
from mailsuite.reports.preparing import prepare
from mailsuite.reports.sending import send_due
DkimKey.objects.filter(domain__name="two.test").update(seen_in_dns_at=datetime.now(UTC))
morning = (datetime.now(UTC) + timedelta(days=1)).replace(hour=8)
prepare(morning)
OutgoingReport.objects.update(next_attempt_at=morning)
send_due(morning)
"""
PUBLIC = """
import json
from mailsuite.signing.models import DkimKey
key = DkimKey.objects.get(domain__name="two.test", state="active", algorithm="rsa")
print("FOUND", json.dumps([f"{key.selector}._domainkey.two.test", f"v=DKIM1; k=rsa; p={key.public_key}"]))
"""


def shell(suite, code):
    """What the code prints after FOUND, as JSON."""
    lines = suite.manage("shell", "-c", code).splitlines()
    found = [line for line in lines if line.startswith("FOUND ")]
    return json.loads(found[-1].removeprefix("FOUND ")) if found else None


def send(suite, sender, to):
    """Sends a mail from another host; returns the code of the answer."""
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP"), local_hostname="mx.stranger.example") as client:
        try:
            client.sendmail(sender, [to], f"From: {sender}\r\nSubject: hello\r\n\r\nhello\r\n")
        except smtplib.SMTPDataError as error:
            return error.smtp_code
        return 250


@pytest.fixture
def two_domains(new_suite):
    suite = new_suite()
    suite.start()
    for name in ("one.test", "two.test"):
        suite.add_domain(name)
    suite.add_mailbox("ann@two.test", "correct horse battery")
    return suite


def test_reports_come_in_and_count_when_their_sender_is_proved(two_domains):
    reporter = Reporter()
    two_domains.dns.records.update(reporter.records)
    begins = (datetime.now(UTC) - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    about = {"domain": "one.test", "begins": begins}
    reporter.send(two_domains, "dmarc-reports@one.test", OWN, SHOP, FORGED, **about)
    # The same once more; another to a domain that it is not about, which nobody asked for.
    reporter.send(two_domains, "dmarc-reports@one.test", OWN, SHOP, FORGED, **about)
    reporter.send(two_domains, "dmarc-reports@two.test", FORGED, report_id="2", **about)
    # Unsigned it is not from reporter.example, which asks to refuse such mail.
    with pytest.raises(smtplib.SMTPDataError):
        reporter.send(two_domains, "dmarc-reports@one.test", OWN, report_id="3", signed=False, **about)
    found = shell(two_domains, READ + SHOW)
    assert [mail[:3] for mail in found["mails"]] == [
        ["dmarc-reports@one.test", "read", True],
        ["dmarc-reports@one.test", "duplicate", True],
        ["dmarc-reports@two.test", "uncounted", True],
    ]
    assert "whose record does not ask for reports at dmarc-reports@two.test" in found["mails"][-1][3]
    assert found["days"] == [
        ["one.test", "", "203.0.113.66", 3, 0, 3],
        ["one.test", "example.org", "192.0.2.1", 10, 10, 0],
        ["one.test", "shop.example", "198.51.100.7", 4, 0, 0],
    ]


def test_reports_go_out_about_what_came_in_and_our_own_come_home(two_domains):
    suite = two_domains
    suite.dns.records.update(
        {
            ("_dmarc.one.test", "TXT"): ['"v=DMARC1; p=reject; rua=mailto:dmarc-reports@one.test"'],
            ("_dmarc.far.example", "TXT"): ['"v=DMARC1; p=none; rua=mailto:r@far.example"'],
            ("far.example", "TXT"): ['"v=spf1 ip4:127.0.0.1 -all"'],
        }
    )
    assert [send(suite, "boss@one.test", "ann@two.test") for _ in range(3)] == [550] * 3
    assert [send(suite, "x@far.example", "ann@two.test") for _ in range(2)] == [250] * 2
    # What was refused is written within a second or two.
    deadline = time.monotonic() + 30
    while shell(suite, REFUSED) < 3:
        assert time.monotonic() < deadline
    with Sink() as sink:
        suite.manage("route", "add", "far.example", f"smtp://127.0.0.1:{sink.port}")
        found = shell(suite, TOMORROW + READ.replace("datetime.now(UTC)", "morning") + SHOW)
        # What we told ourselves about one.test is in its own charts.
        assert found["mails"] == [["dmarc-reports@one.test", "read", True, ""]]
        assert found["days"] == [["one.test", "", "127.0.0.1", 3, 0, 3]]
        [message] = sink.wait_for_messages(1)
    assert (message.sender, message.recipients) == ("", ["r@far.example"])
    name, key = shell(suite, PUBLIC)
    octets = message.data
    keys = {f"{name}.".encode(): key.encode()}
    with pytest.MonkeyPatch.context() as patch:
        # It was signed tomorrow, which dkimpy does not believe today.
        patch.setattr(dkim.time, "time", lambda: (datetime.now(UTC) + timedelta(days=2)).timestamp())
        assert dkim.verify(octets, dnsfunc=lambda asked, timeout=5: keys.get(asked))
    mail = email.message_from_bytes(octets, policy=email.policy.SMTP)
    assert mail["Subject"].startswith("Report Domain: far.example")
    file = next(part for part in mail.iter_parts() if part.get_content_type() == "application/gzip")
    xml = gzip.decompress(file.get_content())
    summary = summarize(lambda: [xml], datetime.now(UTC) + timedelta(days=1))
    assert (summary.messages, summary.aligned, summary.head.policy.domain) == (2, 2, "far.example")
    [record] = read_records([xml])
    assert (record.source_ip, record.spf_aligned, record.disposition) == ("127.0.0.1", True, "none")
