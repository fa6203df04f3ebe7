"""Times that were stored by a clock that was ahead, and is right now: they must not hold anything up for days.

Every pause has a longest length, so a time to come that lies further ahead than that was never meant, and a time past
that is to come says nothing. Whoever reads a stored time asks here, with the reader's own clock: the database's where
several hosts share it. Nothing is rewritten, so a clock that is wrong now spoils nothing for the time when it is right.
"""

from datetime import datetime, timedelta

from django.db.models import Q

# Hosts' clocks differ by as much.
SKEW = timedelta(minutes=2)


def holds(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether a pause that ends then, and was `longest` at most when it began, still lasts."""
    return until is not None and now < until <= now + longest + SKEW


def within(since: datetime | None, now: datetime, window: timedelta) -> bool:
    """Whether it was less than `window` ago. What lies ahead is no longer known to be."""
    return since is not None and now - window < since <= now + SKEW


def holding(field: str, now: datetime, longest: timedelta) -> Q:
    """The same as `holds`, as a condition."""
    return Q(**{f"{field}__gt": now, f"{field}__lte": now + longest + SKEW})


def lately(field: str, now: datetime, window: timedelta) -> Q:
    """The same as `within`, as a condition."""
    return Q(**{f"{field}__gt": now - window, f"{field}__lte": now + SKEW})


def due(field: str, now: datetime, longest: timedelta) -> Q:
    """Whether a time was reached, or is further ahead than it can have been meant; not when there is none."""
    return Q(**{f"{field}__lte": now}) | Q(**{f"{field}__gt": now + longest + SKEW})
