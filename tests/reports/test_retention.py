"""What is forgotten when: raw mail, records, counts; nothing before its time, and nothing that waits."""

from datetime import timedelta

from django.utils import timezone
from report_mail import NOW, OWN, report_mail

from mailsuite.reports import retention
from mailsuite.reports.models import DmarcDay, DmarcRecord, DmarcReport, IncomingReport
from mailsuite.reports.reading import read_waiting
from mailsuite.reports.retention import KEEP_DAYS, MAX_RAW_FAILED, RAW_DAYS, RECORD_DAYS, forget_old


def kept():
    return (
        IncomingReport.objects.exclude(content=None).count(),
        *(model.objects.count() for model in (IncomingReport, DmarcRecord, DmarcReport, DmarcDay)),
    )


def test_each_thing_is_forgotten_in_its_time(file_report):
    file_report(report_mail(OWN))
    read_waiting(NOW)
    now = timezone.now()
    IncomingReport.objects.update(read_at=now, received_at=now)
    DmarcReport.objects.update(begins_at=now)
    DmarcDay.objects.update(day=now.date())
    for days, expected in (
        (RAW_DAYS - 1, (1, 1, 1, 1, 1)),
        (RAW_DAYS + 1, (0, 1, 1, 1, 1)),
        (RECORD_DAYS + 1, (0, 0, 0, 1, 1)),
        (KEEP_DAYS - 1, (0, 0, 0, 1, 1)),
        (KEEP_DAYS + 1, (0, 0, 0, 0, 0)),
    ):
        forget_old(now + timedelta(days=days))
        assert kept() == expected, days


def test_what_waits_stays(file_report):
    file_report(report_mail(OWN))
    forget_old(NOW + timedelta(days=1000))
    assert kept()[:2] == (1, 1)


def test_a_flood_of_mail_that_is_no_report_is_let_go_of_but_the_newest(file_report, monkeypatch):
    monkeypatch.setattr(retention, "MAX_RAW_FAILED", 3)
    assert MAX_RAW_FAILED > 3
    rows = [file_report(b"Subject: spam\r\n\r\n") for _ in range(7)]
    other = file_report(b"Subject: spam\r\n\r\n", "example.net")
    read_waiting(NOW)
    forget_old(timezone.now())
    left = IncomingReport.objects.exclude(content=None).values_list("pk", flat=True)
    assert sorted(left) == sorted(row.pk for row in [*rows[-3:], other])
