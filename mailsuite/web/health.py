"""Whether this host can do its work, for monitors and `manage.py status`.

Looked at once a second at most, by one thread: whoever asks often gets what was found last, and overloads nothing.
"""

import threading
import time

from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse

from mailsuite.configuration import Configuration
from mailsuite.server.suite_state import read_state
from mailsuite.writer.operation import StoreUnavailable
from mailsuite.writer.telling import ping

FRESH_SECONDS = 1.0


class Health:
    """What keeps this host from its work, as it was found last."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._looked_at = float("-inf")
        self._problems: list[str] = []

    def problems(self, configuration: Configuration) -> list[str]:
        """One line each; none when all is well."""
        if time.monotonic() - self._looked_at > FRESH_SECONDS and self._looking.acquire(blocking=False):
            try:
                self._problems = _look(configuration)
                self._looked_at = time.monotonic()
            finally:
                self._looking.release()
        return self._problems


HEALTH = Health()


def health(request: HttpRequest) -> HttpResponse:
    """200 when the database and the store answer and every service works; else 503, with what does not."""
    problems = HEALTH.problems(settings.MAILSUITE)
    text = "\n".join(problems or ["ok"])
    return HttpResponse(f"{text}\n", content_type="text/plain", status=503 if problems else 200)


def _look(configuration: Configuration) -> list[str]:
    state, problems = read_state(configuration.data), []
    try:
        with connections["reader"].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        problems.append("the database does not answer")
    try:
        ping(configuration.store_socket)
    except StoreUnavailable:
        problems.append("the store does not answer")
    problems += [f"{name} {trouble}" for name, trouble in state.troubles.items()] if state else []
    return problems
