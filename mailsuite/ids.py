"""Row ids made by the writer: 63 bits, ascending with time, so that a batch inserts many rows without asking back.

41 bits of milliseconds since 2020 and a 22-bit counter that starts at random in each process. Two hosts that draw
the same id meet the primary key's uniqueness: that operation is run again and draws another.
"""

import os
import secrets
import time
from datetime import UTC, datetime

EPOCH_MS = 1_577_836_800_000
COUNTER_BITS = 22
COUNTER_MASK = (1 << COUNTER_BITS) - 1
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing to mistake when read aloud
# Ten bits of an id each: every message is named several times.
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_SHIFTS = range(50, -1, -10)

_counter = secrets.randbits(COUNTER_BITS)


def _reseed() -> None:
    """A forked child that went on from its parent's counter would draw its siblings' ids."""
    global _counter
    _counter = secrets.randbits(COUNTER_BITS)


os.register_at_fork(after_in_child=_reseed)


def new_id() -> int:
    """A fresh id, later than those drawn before in other milliseconds."""
    global _counter
    _counter = (_counter + 1) & COUNTER_MASK
    return ((int(time.time() * 1000) - EPOCH_MS) << COUNTER_BITS) | _counter


def first_id(moment: datetime) -> int:
    """No id drawn at the moment or later is less: what happened since is found by the primary key."""
    return max(0, int(moment.timestamp() * 1000) - EPOCH_MS) << COUNTER_BITS


def moment_of(number: int) -> datetime:
    """When the id was drawn, in UTC."""
    return datetime.fromtimestamp(((number >> COUNTER_BITS) + EPOCH_MS) / 1000, UTC)


def reference(number: int) -> str:
    """The id as people see it (queue ids, log lines): 13 characters of base 32."""
    pairs = "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])
    return ALPHABET[(number >> 60) & 31] + pairs


def from_reference(text: str) -> int | None:
    """The id that `text` names, or None when it is no reference."""
    text = text.strip().lower()
    if len(text) != 13 or any(character not in ALPHABET for character in text):
        return None
    number = 0
    for character in text:
        number = number << 5 | ALPHABET.index(character)
    return number if number < 1 << 63 else None
