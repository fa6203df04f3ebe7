"""How long ago the person at a browser has proved to be its owner: acts that do harm ask for the password anew.

The admin's classes call `demand` before such an act; the console answers PasswordWanted with a page that asks
(mailsuite.console.proving), and has the act done once the password was right. An open browser, or a stolen cookie, is
not enough then.
"""

import time

from django.http import HttpRequest

LASTS_SECONDS = 10 * 60
_KEY = "proved_at"


class PasswordWanted(Exception):
    """The last proof is too old. `act` says what is to be done, as a sentence; `back` leads away from it."""

    def __init__(self, act: str, back: str) -> None:
        super().__init__(act)
        self.act, self.back = act, back


def note(request: HttpRequest) -> None:
    """The person has just given their password."""
    request.session[_KEY] = time.time()


def is_fresh(request: HttpRequest) -> bool:
    """Whether that was within LASTS_SECONDS; a time to come, of a clock that was wrong, is none."""
    proved_at = request.session.get(_KEY)
    return isinstance(proved_at, float) and 0 <= time.time() - proved_at < LASTS_SECONDS


def demand(request: HttpRequest, act: str, back: str) -> None:
    """Raises PasswordWanted unless the proof is fresh."""
    if not is_fresh(request):
        raise PasswordWanted(act, back)
