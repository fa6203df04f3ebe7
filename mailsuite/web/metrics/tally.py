"""What has happened since midnight (UTC): counted hour by hour, and hours that are over only once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

Key = tuple[str, ...]
# What happened from the first moment until before the second one.
Count = Callable[[datetime, datetime], Iterable[tuple[Key, int]]]

HOUR = timedelta(hours=1)


class DayTally:
    """An hour is remembered when another has passed since: a row may be written long after the moment that its id
    tells, which is when the message began to come in."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._midnight: datetime | None = None
        self._hours: dict[datetime, Counter[Key]] = {}
        self._shown: Counter[Key] = Counter()

    def totals(self, now: datetime) -> dict[Key, int]:
        """Each key's count today. None goes back before the next midnight, though rows are deleted: a counter that does
        would be taken for one that has begun anew."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        with self._lock:
            if midnight != self._midnight:
                self._midnight, self._hours, self._shown = midnight, {}, Counter()
            for key, count in self._today(midnight, now).items():
                self._shown[key] = max(self._shown[key], count)
            return dict(self._shown)

    def _today(self, midnight: datetime, now: datetime) -> Counter[Key]:
        total, hour = Counter[Key](), midnight
        while hour <= now:
            counts = self._hours.get(hour)
            if counts is None:
                counts = Counter(dict(self._count(hour, hour + HOUR)))
                if now >= hour + 2 * HOUR:
                    self._hours[hour] = counts
            total.update(counts)
            hour += HOUR
        return total
