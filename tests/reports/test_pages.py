"""The reports' pages: what they say of a domain, in numbers and words."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from report_mail import FORGED, OWN, SHOP, authentication_of, mail, report_mail

from mailsuite.directory.models import User
from mailsuite.reports import admission
from mailsuite.reports.charts import Kind, stacked
from mailsuite.reports.models import IncomingReport, OutgoingReport, ReportExclusion, ReportSettings
from mailsuite.reports.reading import read_waiting

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def page(client, domains):
    client.force_login(User.objects.get(email="root@localhost"))

    def get(page_name, *arguments, **query):
        response = client.get(reverse(f"admin:{page_name}", args=arguments), query)
        assert response.status_code == 200, response
        return response.content.decode()

    return get


@pytest.fixture
def reported(file_report, domains):
    """Two weeks of reports about example.org."""
    for ago in range(1, 16):
        begins = TODAY - timedelta(days=ago)
        file_report(report_mail(OWN, SHOP, FORGED, report_id=str(ago), begins=begins, p="none"))
    read_waiting(datetime.now(UTC))
    return domains["example.org"]


def test_a_domain_without_reports_says_what_to_do(page, domains):
    text = page("reports_domain", domains["example.org"].pk)
    assert "No report counted yet" in text and "rua=mailto:dmarc-reports@example.org" in text
    assert "_smtp._tls.example.org" in text


def test_a_domain_says_who_sends_and_who_fails(page, reported):
    text = page("reports_domain", reported.pk)
    assert "2 sources send as you; this one fails: shop.example." in text
    assert "45 messages came from senders that nothing speaks for" in text
    assert "71.4 % of what is meant to come from you passes" in text
    assert "150 passed" in text and "105 failed" in text
    assert "Never passes. If it is yours, have it sign with DKIM as example.org" in text
    assert "2 sources send as you" in page("reports_overview")
    assert "2 sources" in page("reports_domain", reported.pk, days="7")
    for odd in ("nonsense", "²", "-7", ""):
        assert "2 sources" in page("reports_domain", reported.pk, days=odd)


def test_a_source_shows_its_addresses_and_rows(page, reported):
    text = page("reports_source", reported.pk, name="shop.example")
    assert "198.51.100.7" in text and "pass bounce.shop.example" in text and "192.0.2.1" not in text
    assert "203.0.113.66" in page("reports_source", reported.pk, name="")


def test_a_source_that_is_none(client, page, reported):
    assert client.get(reverse("admin:reports_source", args=[reported.pk]), {"name": "x"}).status_code == 404


def test_a_report_shows_its_rows(page, reported):
    report = reported.dmarc_reports.first()
    text = page("reports_dmarcreport_change", report.pk)
    assert "v=DMARC1; p=none" in text and "203.0.113.66" in text and "counted" not in text


def test_mail_that_was_no_report_shows_why_and_can_be_read_again(client, page, file_report, domains):
    incoming = file_report(mail(b"<?xml version='1.0'?><html/>", "text/xml", "r.xml"))
    read_waiting(datetime.now(UTC))
    assert "not counted: 1 that could not be read." in page("reports_domain", domains["example.org"].pk)
    assert "there is no report in it" in page("reports_incomingreport_changelist")
    assert "Read again" in page("reports_incomingreport_change", incoming.pk)
    raw = client.get(reverse("admin:reports_incomingreport_raw", args=[incoming.pk]))
    assert b"Subject: Report Domain" in raw.content and raw["Content-Disposition"].startswith("attachment")
    client.post(reverse("admin:reports_incomingreport_do", args=[incoming.pk, "read"]))
    assert IncomingReport.objects.get().state == "waiting"


def test_what_does_not_count_is_told_in_words(page, file_report, domains):
    file_report(report_mail(OWN), authentication=None)
    file_report(report_mail(OWN), authentication=None)
    file_report(report_mail(OWN), authentication=authentication_of("evil.example", signer="evil.example"))
    file_report(report_mail(OWN, domain="example.net"))
    read_waiting(datetime.now(UTC))
    text = page("reports_domain", domains["example.org"].pk)
    assert (
        "not counted: 2 whose sender was not proved, 1 sent by somebody other than the reporter that it names,"
        " 1 about a domain that did not ask for reports at that address." in text
    )
    rows = page("reports_incomingreport_changelist")
    assert "anybody may have sent it: not counted" in rows and "evil.example sent it: not counted" in rows


def test_a_report_says_what_was_left_out_of_it(page, file_report, domains, monkeypatch):
    monkeypatch.setattr(admission, "MAX_ROWS", 1)
    file_report(report_mail(OWN, SHOP, FORGED, begins=TODAY - timedelta(days=1)))
    read_waiting(datetime.now(UTC))
    text = page("reports_dmarcreport_change", domains["example.org"].dmarc_reports.get().pk)
    assert "2 of 3 rows: more than is kept" in text and "reporter.example" in text


def test_what_strangers_wrote_is_never_markup(page, file_report, domains):
    begins = TODAY - timedelta(days=1)
    file_report(report_mail(OWN, org="<script>alert(1)</script>", begins=begins))
    read_waiting(datetime.now(UTC))
    text = page("reports_domain", domains["example.org"].pk)
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_sending_is_switched_and_domains_excluded(client, page):
    changelist = reverse("admin:reports_reportsettings_changelist")
    form = client.get(changelist, follow=True)
    assert b"send DMARC reports to others" in form.content.lower() or b"Send DMARC reports to others" in form.content
    client.post(reverse("admin:reports_reportsettings_change", args=[1]), {"org_name": "Us", "submitter": ""})
    settings = ReportSettings.objects.get()
    assert (settings.sends_dmarc, settings.org_name) == (False, "Us")
    add = reverse("admin:reports_reportexclusion_add")
    assert b"errornote" in client.post(add, {"domain_name": "no dots"}).content or not ReportExclusion.objects.exists()
    client.post(add, {"domain_name": "Loud.Example"})
    assert ReportExclusion.objects.get().domain_name == "loud.example"


def test_a_report_that_waits_can_be_sent_at_once_or_dropped(client, page):
    later = datetime.now(UTC) + timedelta(hours=5)
    row = OutgoingReport.objects.create(policy_domain="a.example", day=TODAY, next_attempt_at=later, octets=b"x")
    client.post(reverse("admin:reports_outgoingreport_do", args=[row.pk, "send"]))
    row.refresh_from_db()
    assert row.next_attempt_at < later
    client.post(reverse("admin:reports_outgoingreport_do", args=[row.pk, "skip"]))
    row.refresh_from_db()
    assert (row.state, row.octets) == ("skipped", None)


@pytest.mark.sqlite_only
def test_bars_stand_on_one_another_and_never_leave_the_chart():
    kinds = (Kind("a", "accepted"), Kind("b", "refused"))
    day = TODAY.date()
    chart = stacked({day: (999, 1), day - timedelta(1): (0, 0)}, kinds, day, 7)
    assert len(chart.bars) == 7 and not chart.is_empty
    below, above = chart.bars[-1].parts
    assert float(above.height) == 1.0 and float(above.y) >= 0
    assert abs(float(below.y) + float(below.height) - chart.height) < 0.1
    assert chart.kinds == ((kinds[0], 999), (kinds[1], 1))
    assert stacked({}, kinds, day, 365).is_empty
