"""Aggregate reports to others, made once a day from yesterday's stories (RFC 9990 §3.1).

A report is made whole, with its id, in the row that claims its domain and day: whoever is quicker makes it, and it
stays the same however often it is sent. It goes out some hours later, not when everybody's does (see sending.py).
"""

import gzip
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from mailsuite.directory.models import Domain
from mailsuite.ids import first_id, new_id, reference
from mailsuite.mailauth.dmarc_report import PolicyPublished, ReportHead, build_report
from mailsuite.reports.models import OutgoingReport, ReportExclusion, ReportSettings
from mailsuite.reports.report_message import file_name
from mailsuite.reports.tally import Tally, tally
from mailsuite.signing.models import DkimKey
from mailsuite.trace.models import Story

# Stories of the day's last minutes may still be on their way into the database.
SETTLED_AFTER = timedelta(minutes=30)
SPREAD = timedelta(hours=6)
# Days that nobody made reports of, since the host was down, are made up for; older ones interest nobody.
MAX_DAYS_BACK = 3
SLICE = 500


def report_settings() -> ReportSettings:
    """The one row, made when it is first asked for."""
    return ReportSettings.objects.get_or_create(pk=1)[0]


def submitter() -> Domain | None:
    """The domain that reports are sent from: as set, else the oldest; only one that signs, by a record seen in DNS."""
    signing = DkimKey.objects.filter(state=DkimKey.State.ACTIVE).exclude(seen_in_dns_at=None).values("domain")
    able = Domain.objects.filter(state=Domain.State.ACTIVE, alias_of=None, pk__in=signing)
    chosen = report_settings().submitter_id
    return able.filter(pk=chosen).first() if chosen else able.order_by("pk").first()


def prepare(now: datetime) -> int:
    """Makes the reports of days that are over; returns how many. For the periodic work."""
    chosen = report_settings()
    last = (now - SETTLED_AFTER).date() - timedelta(days=1)
    if chosen.prepared_day and chosen.prepared_day > now.date():  # by a clock that was ahead
        chosen.prepared_day = None
    if not chosen.sends_dmarc or (chosen.prepared_day and chosen.prepared_day >= last):
        return 0
    sender = submitter()
    if sender is None:
        return 0
    first = last - timedelta(days=MAX_DAYS_BACK - 1)
    # What came before the first run came before anybody could have said no.
    first = max(first, chosen.prepared_day + timedelta(days=1)) if chosen.prepared_day else last
    made = 0
    for back in range((last - first).days, -1, -1):
        day = last - timedelta(days=back)
        made += _prepare_day(day, sender, chosen.org_name or sender.name)
        ReportSettings.objects.filter(pk=1).update(prepared_day=day)
    return made


def _prepare_day(day: date, sender: Domain, org_name: str) -> int:
    excluded = list(ReportExclusion.objects.values_list("domain_name", flat=True))
    tallies = tally(_stories(day), excluded)
    known = set(OutgoingReport.objects.filter(day=day).values_list("policy_domain", flat=True))
    for name, one in tallies.items():
        if name in known:
            continue
        row = _row(day, one, sender.name, org_name)
        # Another host of the site may have been quicker.
        OutgoingReport.objects.bulk_create([row], ignore_conflicts=True)
    return len(tallies.keys() - known)


def _stories(day: date) -> Iterator[str]:
    """The `data` of the day's messages from other hosts, in slices: accepted ones and refused ones."""
    begin = datetime.combine(day, time(), UTC)
    last, end = first_id(begin) - 1, first_id(begin + timedelta(days=1))
    wanted = Story.objects.using("reader").filter(kind=Story.Kind.INBOUND, pk__lt=end)
    wanted = wanted.exclude(outcome=Story.Outcome.DEFERRED).order_by("pk")
    while some := list(wanted.filter(pk__gt=last).values_list("pk", "data")[:SLICE]):
        last = some[-1][0]
        yield from (data for _, data in some)


def _row(day: date, one: Tally, submitter_name: str, org_name: str) -> OutgoingReport:
    begins_at = datetime.combine(day, time(), UTC)
    row = OutgoingReport(id=new_id(), policy_domain=one.policy_domain, day=day, submitter=submitter_name)
    head = head_of(row, org_name, one)
    row.octets = gzip.compress(build_report(head, one.records), mtime=int(begins_at.timestamp()))
    row.file_name = file_name(submitter_name, head, reference(row.pk))
    row.rua = "\n".join(one.record.rua)
    row.record_count, row.message_count = len(one.rows), one.messages
    # Not when everybody sends theirs (RFC 9990 §3.5).
    row.next_attempt_at = begins_at + timedelta(days=1) + SETTLED_AFTER + random.random() * SPREAD
    return row


def head_of(row: OutgoingReport, org_name: str = "", one: Tally | None = None) -> ReportHead:
    """The report's head; without its tally, as much of it as its mail needs."""
    begins_at = datetime.combine(row.day, time(), UTC)
    left_out = (f"{one.left_out} messages of more sources than a report has room for",) if one and one.left_out else ()
    return ReportHead(
        org_name=org_name,
        email=f"postmaster@{row.submitter}",
        report_id=f"{reference(row.pk)}@{row.submitter}",
        begins_at=begins_at,
        ends_at=begins_at + timedelta(days=1, seconds=-1),
        policy=one.policy if one else PolicyPublished(row.policy_domain),
        errors=left_out,
        generator="Mailsuite",
    )
