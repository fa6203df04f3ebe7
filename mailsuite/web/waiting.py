"""Whose request is next: clients take turns, and none has all threads.

In the order of their coming, one client that sends hundreds ahead would have everybody else wait for all of them.
"""

from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar

from mailsuite.mail.client_network import Network

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """Requests that wait, by client; `at_once` of one client's are worked on at a time. None stands for programs of
    this host: they take turns with clients, and have no such limit."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        # The client whose turn it is comes first.
        self._waiting: OrderedDict[Network | None, deque[T]] = OrderedDict()
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
        # Few are passed over: so many clients have their limit as there are threads, at most.
        for client in self._waiting:
            if client is None or self._working[client] < self._at_once:
                break
        else:
            return None
        waiting = self._waiting[client]
        request = waiting.popleft()
        if waiting:
            self._waiting.move_to_end(client)
        else:
            del self._waiting[client]
        if client is not None:
            self._working[client] += 1
        return request, client

    def done(self, client: Network | None) -> None:
        """A request of the client was worked on."""
        if client is not None:
            self._working[client] -= 1
            if not self._working[client]:
                del self._working[client]
