"""Answers remembered for as long as their TTL says, the least recently asked for forgotten first.

Strangers choose which names are asked for and how much is said about them, so what is kept is counted in octets too.
"""

from mailsuite.bounded import Expiring
from mailsuite.resolver.answers import Answer, Rdata, Tlsa

MAX_ENTRIES = 50_000
MAX_OCTETS = 32 * 1024 * 1024
# What an entry and a record cost beside their text, roughly.
_ENTRY_OCTETS, _RECORD_OCTETS = 400, 100

Key = tuple[str, str]


class AnswerCache:
    """Answers by (name, type). Times are the caller's, in seconds of a clock that never goes back."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_octets: int = MAX_OCTETS) -> None:
        self._entries: Expiring[Key, Answer] = Expiring(max_entries, max_weight=max_octets)

    def get(self, key: Key, now: float) -> Answer | None:
        """Return what is known still."""
        return self._entries.get(key, now)

    def put(self, key: Key, answer: Answer, now: float) -> None:
        """Remember the answer, from now for its TTL."""
        octets = _ENTRY_OCTETS + len(key[0]) + sum(map(_cost, answer.rdata))
        self._entries.put(key, answer, now + answer.ttl, octets)


def _cost(value: Rdata) -> int:
    match value:
        case str() | bytes():
            return _RECORD_OCTETS + len(value)
        case Tlsa():
            return _RECORD_OCTETS + len(value.data)
    return _RECORD_OCTETS + len(value.exchange)
