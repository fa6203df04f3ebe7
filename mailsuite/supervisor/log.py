"""Log lines on standard error: time, service, level, text; under journald a priority instead of the time."""

import logging
import os
import re
import sys
from datetime import UTC, datetime

OUR_PACKAGES = ("mailsuite", "smtpd_service", "retrieval")
# sd-daemon(3): the number of syslog's level in front of a line.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# What a stranger said may stand in a line, which costs disk.
MOST_CHARACTERS = 2000
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# They have a line for each request that is none of ours, which anybody may make as fast as the line carries.
_TALKATIVE = ("django.request", "django.security", "gunicorn.error")


class LineFormatter(logging.Formatter):
    """One record as one line; what follows a line break is indented, so that no text can pass for another record, and
    no octet of a stranger's steers the terminal on which the log is read."""

    def __init__(self, service: str, *, for_journal: bool) -> None:
        super().__init__()
        self._service = service
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, with the time unless the journal adds its own."""
        text = record.getMessage()
        if len(text) > MOST_CHARACTERS:
            text = f"{text[:MOST_CHARACTERS]} ... ({len(text) - MOST_CHARACTERS} characters more)"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = "\n    ".join(_CONTROLS.sub("?", line) for line in text.splitlines())
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
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
