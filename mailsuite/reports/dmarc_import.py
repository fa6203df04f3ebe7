"""Aggregate reports into rows and daily counts, in slices: each is one short transaction that also notes how far the
report is read, so that a crash counts nothing twice and nothing is left out."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime
from itertools import islice

from django.db import connection, transaction

from mailsuite.mailauth.dmarc_report import PolicyPublished, Record
from mailsuite.mailauth.dmarc_report_reader import Summary, read_records, summarize
from mailsuite.mailauth.report_file import ReportError
from mailsuite.reports.admission import Admission
from mailsuite.reports.models import DmarcDay, DmarcRecord, DmarcReport
from mailsuite.reports.sources import source_of

SLICE = 500
_KEY = ("domain_id", "day", "source_ip", "source")
_COUNTS = ("messages", "aligned", "dkim_aligned", "spf_aligned", "quarantined", "rejected", "overridden")
_OVERRIDES = {"forwarded", "trusted_forwarder", "mailing_list"}
_ARC_PASS = re.compile(r"\barc\s*=\s*pass\b", re.IGNORECASE)


class Duplicate(Exception):
    """The same report was read before."""


def import_report(admission: Admission, open_file: Callable[[], Iterable[bytes]], now: datetime) -> tuple[str, ...]:
    """Reads the report whole to check it, then once more to count it; goes on where it was broken off. What is more
    than the admission has room for is counted as left out. Returns what had to be mended or passed over, in words.

    Raises ReportError for what is no report about one of our domains, Uncounted for one that does not count, Duplicate
    for one read before.
    """
    summary = summarize(open_file, now)
    if not summary.records:
        raise ReportError("it has no record")
    report = _begin(admission, summary)
    read = read_records(open_file(), mends=summary.is_malformed)
    records = islice(read, report.record_count - report.records_left_out)
    for _ in islice(records, report.records_read):
        continue
    while some := list(islice(records, SLICE)):
        if not _count(report, some):
            break
    return _mended(summary)


def _mended(summary: Summary) -> tuple[str, ...]:
    notes = list(summary.mended)
    if summary.is_malformed and not notes:
        notes.append("XML that is not well-formed")
    if summary.skipped:
        count = "1 record" if summary.skipped == 1 else f"{summary.skipped} records"
        notes.append(f"{count} without a usable address or number, which are left out")
    return tuple(notes)


def _begin(admission: Admission, summary: Summary) -> DmarcReport:
    head, incoming = summary.head, admission.incoming
    admission.check_reporter(head.email, head.org_name, head.extra_contact_info)
    domain = admission.domain_of(head.policy.domain)
    kept = min(summary.records, admission.rows_left)
    with transaction.atomic():
        report, is_new = DmarcReport.objects.get_or_create(
            policy_domain=head.policy.domain,
            reporter=admission.reporter,
            org_name=head.org_name or admission.reporter,
            report_id=head.report_id,
            is_verified=incoming.is_verified,
            defaults={
                "domain": domain,
                "incoming": incoming,
                "email": head.email,
                "extra_contact_info": head.extra_contact_info,
                "begins_at": head.begins_at,
                "ends_at": head.ends_at,
                "policy_published": _policy_text(head.policy),
                "generator": head.generator,
                "errors": "\n".join(head.errors),
                "record_count": summary.records,
                "records_left_out": summary.records - kept,
                "message_count": summary.messages,
                "aligned_count": summary.aligned,
            },
        )
        if not is_new and report.incoming_id != incoming.pk:
            raise Duplicate
        # The day's share is taken before the rows are there: broken off, it is not taken again.
        incoming.rows += 1 + report.record_count - report.records_left_out
        incoming.save(update_fields=["rows"])
    return report


def _policy_text(policy: PolicyPublished) -> str:
    """The record in its own words; tags that the report does not tell are left out."""
    tags = {
        "p": policy.p, "sp": policy.sp, "np": policy.np, "adkim": policy.adkim, "aspf": policy.aspf, "fo": policy.fo,
        "t": policy.testing, "pct": policy.pct,
    }  # fmt: skip
    return "; ".join(["v=DMARC1", *(f"{name}={value}" for name, value in tags.items() if value)])[:500]


def _count(report: DmarcReport, records: list[Record]) -> bool:
    """Writes the next slice; False when another host is at it."""
    rows = [_row(report, record) for record in records]
    overridden = [_is_overridden(record) for record in records]
    with transaction.atomic():
        locked = DmarcReport.objects.select_for_update().get(pk=report.pk)
        if locked.records_read != report.records_read:
            return False
        DmarcRecord.objects.bulk_create(rows)
        if report.is_verified:
            _add_to_days(report, rows, overridden)
        locked.records_read = report.records_read = report.records_read + len(rows)
        locked.save(update_fields=["records_read"])
    return True


def _row(report: DmarcReport, record: Record) -> DmarcRecord:
    return DmarcRecord(
        report=report,
        source_ip=record.source_ip,
        source=source_of(record, report.policy_domain),
        count=record.count,
        disposition=record.disposition,
        is_dkim_aligned=record.dkim_aligned,
        is_spf_aligned=record.spf_aligned,
        reasons="; ".join(f"{reason.type} {reason.comment}".strip() for reason in record.reasons)[:500],
        header_from=record.header_from,
        envelope_from=record.envelope_from,
        envelope_to=record.envelope_to,
        dkim="; ".join(f"{result.result} {result.domain} {result.selector}".strip() for result in record.dkim),
        spf="; ".join(f"{result.result} {result.domain}".strip() for result in record.spf)[:300],
    )


def day_of(report: DmarcReport) -> date:
    """The day (UTC) that the report's mail counts for: the middle of its period, which not all begin at midnight."""
    return (report.begins_at + (report.ends_at - report.begins_at) / 2).date()


def _is_overridden(record: Record) -> bool:
    """Whether the receiver knew the forwarder or list on the way, or believed its seal (RFC 8617 §7.2.1)."""
    return any(reason.type in _OVERRIDES or _ARC_PASS.search(reason.comment) for reason in record.reasons)


def _add_to_days(report: DmarcReport, rows: list[DmarcRecord], overridden: list[bool]) -> None:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(_COUNTS))
    for row, is_overridden in zip(rows, overridden, strict=True):
        is_aligned = row.is_dkim_aligned or row.is_spf_aligned
        flags = (
            *(True, is_aligned, row.is_dkim_aligned, row.is_spf_aligned),
            *(row.disposition == "quarantine", row.disposition == "reject", is_overridden and not is_aligned),
        )
        found = sums[row.source_ip, row.source]
        found[:] = [total + row.count * flag for total, flag in zip(found, flags, strict=True)]
    table, columns = DmarcDay._meta.db_table, (*_KEY, *_COUNTS)
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _COUNTS)
    day = connection.ops.adapt_datefield_value(day_of(report))
    with connection.cursor() as cursor:
        # One statement adds to what is there or begins it, on both databases. Sorted, so that two hosts don't deadlock.
        cursor.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
            f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {added}",
            [(report.domain_id, day, *key, *counts) for key, counts in sorted(sums.items())],
        )
