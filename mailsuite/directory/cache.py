"""A memory of one process that lasts while the directory's version does.

Safe between threads: a look-up reads the version before it reads anything else, so what it remembers is never older
than the version it is remembered under. What was not found is remembered for seconds only, since strangers choose the
names; the oldest entries make room when there are too many. A look-up within a look-up is kept under the outer one's
version, which is no newer than what it reads, and asks for it no second time.
"""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from mailsuite.bounded import Bounded
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
        self._entries: Bounded[Hashable, tuple[float | None, Any]] = Bounded(MAX_ENTRIES, max_weight=MAX_WEIGHT)
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
                self._entries.clear()
                self._version = version
            entry = self._entries.get(key) if version == self._version else None
        if entry and (entry[0] is None or entry[0] > self._clock()):
            return cast(T, entry[1])
        self._outer.version = version
        try:
            loaded = load()
        finally:
            self._outer.version = outer
        with self._lock:
            if self._version == version:
                expires = self._clock() + UNKNOWN_SECONDS if is_unknown(loaded) else None
                self._entries.put(key, (expires, loaded), weigh(loaded))
        return loaded

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._entries.clear()


CACHE = DirectoryCache()
