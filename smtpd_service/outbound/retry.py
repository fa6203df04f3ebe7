"""When a recipient is tried again, when its sender is warned, and when it is given up (RFC 5321 §4.5.4.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WARN_AFTER = timedelta(hours=4)
# Each pause is drawn from within this part of itself, up or down: what failed together must not come back together.
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """`schedule` are the pauses after the first attempt, the second, …; the last repeats until the message expires."""

    schedule: Sequence[timedelta]

    def next_attempt(
        self, attempt_count: int, now: datetime, expires_at: datetime | None, random: Callable[[], float]
    ) -> datetime | None:
        """Return when to try after the `attempt_count`th attempt (1 for the first), or None to give up.

        A last attempt is made just before the message expires rather than none for hours. `random` draws from 0 to 1.
        """
        if expires_at is not None and now >= expires_at:
            return None
        pause = self.schedule[min(max(attempt_count, 1), len(self.schedule)) - 1]
        planned = now + pause * (1 + JITTER * (2 * random() - 1))
        return min(planned, expires_at) if expires_at else planned


def in_time_to_warn(
    planned: datetime, created_at: datetime, now: datetime, *, warned: bool, random: Callable[[], float]
) -> datetime:
    """Return the planned attempt, or one soon after the warning falls due where the pause would put that off for hours:
    only an attempt can tell whether there is anything to warn of."""
    due = created_at + WARN_AFTER
    if warned or not now < due < planned:
        return planned
    return due + (planned - due) * JITTER * random()


def is_warning_due(created_at: datetime, now: datetime, *, warned: bool) -> bool:
    """Return whether the sender should hear now that the message is late; once is enough."""
    return not warned and now - created_at >= WARN_AFTER
