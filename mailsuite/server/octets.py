"""Octets that all sessions of a process hold in memory together: what came and is not dealt with, what is not sent.

Each session is bounded for itself; a thousand of them at their bounds would be more than the machine has. So each tells
what it takes and gives back. While the budget `is_pressed` everybody keeps less (spools to disk earlier, reads less
ahead); once it `is_spent`, whoever holds more than `even_share` waits or is refused.
"""

BUDGET_OCTETS = 64 * 1024 * 1024
# A session with less than that is never the one that waits.
EVEN_SHARE_OCTETS = 16 * 1024


class OctetBudget:
    """`limit` octets of all sessions together; `even_share` is what one may hold even when they are spent."""

    def __init__(self, limit: int = BUDGET_OCTETS, even_share: int = EVEN_SHARE_OCTETS) -> None:
        self.limit, self.even_share = limit, even_share
        self.held = 0

    @property
    def is_pressed(self) -> bool:
        """Whether more than three quarters are taken: time for everybody to keep less."""
        return self.held * 4 > self.limit * 3

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left: whoever holds more than its share waits or is refused."""
        return self.held >= self.limit

    def take(self, count: int) -> None:
        """Count octets as held."""
        self.held += count

    def give(self, count: int) -> None:
        """Count octets as no longer held."""
        self.held -= count
