"""TLS reports (RFC 8460) into rows."""

from datetime import datetime

from mailsuite.mailauth.report_file import ReportError
from mailsuite.reports.models import IncomingReport


def import_tls_report(incoming: IncomingReport, file: bytes, now: datetime) -> None:
    raise ReportError("TLS reports are not read yet")
