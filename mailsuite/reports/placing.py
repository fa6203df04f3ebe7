"""Rows of reports to read made and taken back in a batch of the writer."""

from collections.abc import Iterable

from mailsuite.ids import new_id
from mailsuite.reports.models import IncomingReport
from mailsuite.reports.rows import IncomingReportRow
from mailsuite.store.hooks import Placed
from mailsuite.store.operations import ReportDelivery
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.telling import FILED, Fate, insert_recipient
from mailsuite.writer.batch import Batch


def place(batch: Batch, report: ReportDelivery, placed: Placed) -> list[EventFacts]:
    """Has the report reader read a message that is filed; answers the event of its story."""
    content_id, story_id = placed.content_id, placed.story_id
    batch.insert(
        IncomingReportRow(
            *(new_id(), report.domain_id, report.address, report.kind, content_id, story_id, batch.now_value)
        )
    )
    insert_recipient(batch, story_id, report.address, report.domain_id, Fate.DELIVERED)
    return [EventFacts(FILED, report.address, "", "for the report reader", report.domain_id)]


def take_back(batch: Batch, story_id: int, since: int) -> Iterable[int]:
    """Forgets what a delivery brought whose rows have later ids than `since`."""
    IncomingReport.objects.filter(pk__gt=since, story_id=story_id).delete()
    return ()
