"""Memories of limited size: what strangers can fill must not grow with what they send."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """Values by key: at most `max_entries`, whose weights together are at most `max_weight` (0: no matter). Those put
    in, or used, the longest ago make room. Whoever shares it between threads locks it."""

    def __init__(self, max_entries: int, *, max_weight: int = 0) -> None:
        self._max_entries, self._max_weight = max_entries, max_weight
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def get(self, key: K) -> V | None:
        """The value of the key, or None; its turn to make room stays as it is."""
        entry = self._entries.get(key)
        return entry[0] if entry else None

    def use(self, key: K) -> V | None:
        """The value of the key, or None; from now on it is the last to make room."""
        if entry := self._entries.get(key):
            self._entries.move_to_end(key)
            return entry[0]
        return None

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep the value in place of what the key had; one that weighs too much by itself is not kept."""
        self.pop(key)
        self._entries[key] = (value, weight)
        self._weight += weight
        while len(self._entries) > self._max_entries or (self._max_weight and self._weight > self._max_weight):
            self.pop(next(iter(self._entries)))

    def pop(self, key: K) -> V | None:
        """Forget the key; returns what it had, or None."""
        value, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._weight = 0


class Expiring(Generic[K, V]):
    """A Bounded whose values are believed until a moment that is given with each. Times are the caller's, in seconds of
    a clock that never goes back. Those asked for the longest ago make room."""

    def __init__(self, max_entries: int, *, max_weight: int = 0) -> None:
        self._entries: Bounded[K, tuple[float, V]] = Bounded(max_entries, max_weight=max_weight)

    def get(self, key: K, now: float) -> V | None:
        """The value of the key, or None when there is none that is still believed."""
        entry = self._entries.use(key)
        return entry[1] if entry and entry[0] > now else None

    def put(self, key: K, value: V, until: float, weight: int = 1) -> None:
        """Keep the value in place of what the key had; one that weighs too much by itself is not kept."""
        self._entries.put(key, (until, value), weight)
