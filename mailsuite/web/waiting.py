"""Whose request is next: clients take turns, and none has all threads.

In the order of their coming, one client that sends hundreds ahead would have everybody else wait for all of them.
"""

from collections import Counter, deque
from typing import Generic, TypeVar

from mailsuite.bounded import Bounded
from mailsuite.mail.client_network import Network

T = TypeVar("T")
# Of whom it is known when they had their last turn.
REMEMBERED = 10_000


class WaitingLine(Generic[T]):
    """Requests that wait, by client; `at_once` of one client's are worked on at a time. None stands for programs of
    this host: they take turns with clients, and have no such limit."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._waiting: dict[Network | None, deque[T]] = {}
        # In which order clients had their last turn.
        self._served: Bounded[Network | None, int] = Bounded(REMEMBERED)
        self._turns = 0
        self._working: Counter[Network] = Counter()

    def add(self, request: T, client: Network | None) -> None:
        self._waiting.setdefault(client, deque()).append(request)

    def remove(self, request: T, client: Network | None) -> None:
        """Forget a request that nobody waits for any longer."""
        waiting = self._waiting[client]
        waiting.remove(request)
        if not waiting:
            del self._waiting[client]

    def next(self) -> tuple[T, Network | None] | None:
        """Take the request that is next, and its client, who has to be told `done` when it was worked on; None when
        nobody waits who may have more."""
        able = [one for one in self._waiting if one is None or self._working[one] < self._at_once]
        if not able:
            return None
        # Whoever comes for the first time does not wait for a crowd that comes again and again.
        client = min(able, key=lambda one: self._served.get(one) or 0)
        waiting = self._waiting[client]
        request = waiting.popleft()
        if not waiting:
            del self._waiting[client]
        self._note(client)
        if client is not None:
            self._working[client] += 1
        return request, client

    def _note(self, client: Network | None) -> None:
        self._turns += 1
        self._served.put(client, self._turns)

    def done(self, client: Network | None) -> None:
        """A request of the client was worked on."""
        if client is not None:
            self._working[client] -= 1
            if not self._working[client]:
                del self._working[client]
