"""Telling of clients that are turned away at a door: a crowd of a thousand a second must not cost a line and a story
each, and who it was must be known all the same."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from mailsuite.mail.client_network import Network, Reach, network_around

# Of one network and reason within a minute.
TOLD_ONE_BY_ONE = 10
MINUTE_SECONDS = 60.0
# Of so many networks apart; all others together.
MOST_NETWORKS = 10_000

R = TypeVar("R")


class TurnedAway(Generic[R]):
    """Of a network and reason the first few within a minute are told one by one, the rest as a number when the minute
    is over: `tell_rest(address, reason, count)`, with the address of one of them. In an event loop."""

    def __init__(self, tell_rest: Callable[[str, R, int], None]) -> None:
        self._tell_rest = tell_rest
        self._counts: Counter[tuple[Network | None, R]] = Counter()
        self._addresses: dict[tuple[Network | None, R], str] = {}

    def note(self, address: str, reason: R) -> bool:
        """Count one; True when it is to be told by itself."""
        if not self._counts:
            asyncio.get_running_loop().call_later(MINUTE_SECONDS, self.end_minute)
        key = (network_around(address, Reach.HOLDER), reason)
        if key not in self._counts and len(self._counts) >= MOST_NETWORKS:
            key = (None, reason)
        self._counts[key] += 1
        if self._counts[key] <= TOLD_ONE_BY_ONE:
            return True
        self._addresses.setdefault(key, address)
        return False

    def end_minute(self) -> None:
        """Tell the rest, and count anew."""
        counts, self._counts = self._counts, Counter()
        addresses, self._addresses = self._addresses, {}
        for key, address in addresses.items():
            self._tell_rest(address, key[1], counts[key] - TOLD_ONE_BY_ONE)
