"""What the report reader forgets in time: raw mail first, then single records, then reports and counts. In slices."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS
from mailsuite.reports.models import (
    DmarcDay,
    DmarcRecord,
    DmarcReport,
    FailureReport,
    IncomingReport,
    OutgoingReport,
    SourceName,
    TlsReport,
)

RAW_DAYS = 30
RECORD_DAYS = 90
# A year and a month, so that a chart can show the same days of last year.
KEEP_DAYS = 400
# Anybody can send to a report address: of mail that was no report only the newest is kept, for each domain.
MAX_RAW_FAILED = 200
SLICE = 500
State = IncomingReport.State


def forget_old(now: datetime) -> int:
    """Forgets what is old; returns how many rows. Raw mail that is let go of is deleted by the next sweep."""
    raw = IncomingReport.objects.exclude(state=State.WAITING).exclude(content=None)
    forgotten = _let_go(raw.filter(read_at__lt=now - timedelta(days=RAW_DAYS)))
    forgotten += _let_go(raw.filter(state=State.DUPLICATE)) + _let_go_of_surplus()
    forgotten += _let_go(raw.filter(content__size_octets__gt=MAX_MAIL_OCTETS))
    keep, records = now - timedelta(days=KEEP_DAYS), now - timedelta(days=RECORD_DAYS)
    forgotten += _delete(DmarcRecord.objects.filter(report__begins_at__lt=records))
    for rows in (
        DmarcReport.objects.filter(begins_at__lt=keep),
        DmarcDay.objects.filter(day__lt=keep.date()),
        TlsReport.objects.filter(begins_at__lt=keep),
        FailureReport.objects.filter(arrived_at__lt=records),
        OutgoingReport.objects.filter(day__lt=keep.date()),
        SourceName.objects.filter(looked_up_at__lt=records),
        IncomingReport.objects.filter(content=None, received_at__lt=records).exclude(state=State.WAITING),
    ):
        forgotten += _delete(rows)
    return forgotten


def _let_go(rows: QuerySet[IncomingReport]) -> int:
    return rows.update(content=None)


def _let_go_of_surplus() -> int:
    """Mail that was no report, or nobody's, beyond the newest of each domain."""
    count = 0
    unread = IncomingReport.objects.exclude(content=None).filter(
        state__in=[State.FAILED, State.IGNORED, State.UNCOUNTED]
    )
    for domain_id in list(unread.order_by().values_list("domain", flat=True).distinct()):
        newest = unread.filter(domain=domain_id).order_by("-pk").values_list("pk", flat=True)
        if surplus := list(newest[MAX_RAW_FAILED : MAX_RAW_FAILED + 1]):
            count += _let_go(unread.filter(domain=domain_id, pk__lte=surplus[0]))
    return count


def _delete(rows: "QuerySet[Any]") -> int:
    deleted = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:SLICE]):
        with transaction.atomic():
            rows.model._default_manager.filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted
