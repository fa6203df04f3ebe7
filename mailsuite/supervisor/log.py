"""Log lines on standard error: time, service, level, text; under journald a priority instead of the time."""

import logging
import os
import sys
from datetime import UTC, datetime

OUR_PACKAGES = ("mailsuite", "smtpd_service", "retrieval")
# sd-daemon(3): the number of syslog's level in front of a line.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class LineFormatter(logging.Formatter):
    """One record as one line; what follows a line break is indented, so that no text can pass for another record."""

    def __init__(self, service: str, *, for_journal: bool) -> None:
        super().__init__()
        self._service = service
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = "\n    ".join(text.splitlines())
        line = f"{self._service} {record.levelname} {text}"
        if self._for_journal:
            return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}"
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        return f"{at}Z {line}"


def configure(service: str) -> None:
    """Sends our records from INFO on, and those of libraries from WARNING on, to standard error under the name of
    `service`; replaces an earlier setup."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(service, for_journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(logging.INFO)
