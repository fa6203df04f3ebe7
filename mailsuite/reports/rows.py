"""Rows of reports to read as batches of the store insert them. Times are as `sql.timestamp` adapts them."""

from typing import Any, NamedTuple

from mailsuite.database.sql import row_of
from mailsuite.reports.models import IncomingReport


@row_of(IncomingReport)
class IncomingReportRow(NamedTuple):
    id: int
    domain_id: int
    address: str
    kind: str
    content_id: int
    story_id: int
    received_at: Any
    state: str = "waiting"
    is_verified: bool = False
    reason: str = ""
    sender_domain: str = ""
    attempt_count: int = 0
    cause: str = ""
    rows: int = 0
    octets_read: int = 0
