"""What one search may cost. A search over everything must end, and must say when it has not seen all."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from retrieval.mail_values import Refused


class SearchBudget:
    """Counts down as the search goes on, in the event loop and in the search thread: never in both at once. `octets`
    are looked at; `seconds` are those in which the thread works, not those in which it serves others."""

    def __init__(self, octets: int, seconds: float) -> None:
        self.octets, self.seconds = octets, seconds
        self._until = float("inf")
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Have the search end: nobody waits for it any more."""
        self._given_up.set()

    def spend(self, octets: int) -> None:
        """Raises Refused when that was too much."""
        self.octets -= octets
        self.check()

    def check(self) -> None:
        """Raises Refused when it is time to end."""
        if self._given_up.is_set():
            raise Refused("limit", "The search was given up, since the session ends")
        if self.octets < 0 or time.monotonic() > self._until:
            raise Refused("limit", "The search is too large; search fewer messages, or their subjects and senders")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Time that counts."""
        started = time.monotonic()
        self._until = started + self.seconds
        try:
            yield
        finally:
            self.seconds -= time.monotonic() - started
            self._until = float("inf")
