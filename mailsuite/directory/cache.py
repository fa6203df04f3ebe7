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
UNKNOWN_SECONDS = 5.0


class DirectoryCache:
    """Keeps answers under (question, argument) keys."""

    def __init__(
        self, version: Callable[[], int] = recent_version, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read_version, self._clock = version, clock
        self._lock = threading.Lock()
        self._version: int | None = None
        self._entries: OrderedDict[Hashable, tuple[float | None, Any]] = OrderedDict()
        self._outer = threading.local()

    def get(self, key: Hashable, load: Callable[[], T], is_unknown: Callable[[T], bool] = lambda value: False) -> T:
        """What `load` answers, or answered under this version."""
        outer: int | None = getattr(self._outer, "version", None)
        version = self._read_version() if outer is None else outer
        with self._lock:
            if outer is None and version != self._version:
                self._entries.clear()
                self._version = version
            expires, value = self._entries.get(key, (0.0, None))
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
                self._entries[key] = (self._clock() + UNKNOWN_SECONDS if is_unknown(loaded) else None, loaded)
                self._entries.move_to_end(key)
                while len(self._entries) > MAX_ENTRIES:
                    self._entries.popitem(last=False)
        return loaded

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


CACHE = DirectoryCache()
