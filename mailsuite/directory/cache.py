"""A memory of one process that lasts while the directory's version does.

Safe between threads: a look-up reads the version before it reads anything else, so what it remembers is never older
than the version it is remembered under. What was not found is remembered for seconds only, since strangers choose the
names; the oldest entries make room when there are too many. A look-up within a look-up is kept under the outer one's
version, which is no newer than what it reads, and asks for it no second time.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from mailsuite.directory.version import recent_version

T = TypeVar("T")
MAX_ENTRIES = 20_000
# Of large answers fewer are remembered: a mailbox or address that is led to weighs one.
MAX_WEIGHT = 300_000
UNKNOWN_SECONDS = 5.0


class DirectoryCache:
    """Keeps answers under (question, argument) keys."""

    def __init__(
        self, version: Callable[[], int] = recent_version, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read_version, self._clock = version, clock
        self._lock = threading.Lock()
        self._version: int | None = None
        self._entries: OrderedDict[Hashable, tuple[float | None, Any, int]] = OrderedDict()
        self._weight = 0
        self._outer = threading.local()

    def get(
        self,
        key: Hashable,
        load: Callable[[], T],
        is_unknown: Callable[[T], bool] = lambda value: False,
        weigh: Callable[[T], int] = lambda value: 1,
    ) -> T:
        """What `load` answers, or answered under this version."""
        outer: int | None = getattr(self._outer, "version", None)
        version = self._read_version() if outer is None else outer
        with self._lock:
            if outer is None and version != self._version:
                self._forget()
                self._version = version
            expires, value, _ = self._entries.get(key, (0.0, None, 0))
            known = version == self._version
        if known and (expires is None or expires > self._clock()):
            return value  # type: ignore[no-any-return]
        self._outer.version = version
        try:
            loaded = load()
        finally:
            self._outer.version = outer
        with self._lock:
            if self._version == version:
                self._keep(key, self._clock() + UNKNOWN_SECONDS if is_unknown(loaded) else None, loaded, weigh(loaded))
        return loaded

    def clear(self) -> None:
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._entries.clear()
        self._weight = 0

    def _keep(self, key: Hashable, expires: float | None, value: Any, weight: int) -> None:
        self._weight += weight - self._entries.pop(key, (None, None, 0))[2]
        self._entries[key] = (expires, value, weight)
        while len(self._entries) > MAX_ENTRIES or self._weight > MAX_WEIGHT:
            self._weight -= self._entries.popitem(last=False)[1][2]


CACHE = DirectoryCache()
