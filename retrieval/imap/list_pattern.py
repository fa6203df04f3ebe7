"""Matching folder names against LIST's patterns: `*` for anything, `%` for anything within one part (RFC 3501 §6.3.8).

All ways through the pattern are followed at once, as the bits of one integer, so a name costs one step for each of its
characters however the wildcards stand.
"""

import re
from collections.abc import Callable

from retrieval.imap.grammar import DELIMITER

MAX_PATTERN_CHARACTERS = 2_001  # names have 1,000, and a wildcard stands at most between each two characters
_WILDCARDS = re.compile(r"[*%]{2,}")


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a whole name matches."""
    pattern = _WILDCARDS.sub(lambda found: "*" if "*" in found[0] else "%", pattern)
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return lambda name: False
    literals: dict[str, int] = {}
    stars = percents = 0
    for at, character in enumerate(pattern):
        if character == "*":
            stars |= 1 << at
        elif character == "%":
            percents |= 1 << at
        else:
            literals[character] = literals.get(character, 0) | 1 << at
    wild, accepted = stars | percents, 1 << len(pattern)

    def matches(name: str) -> bool:
        here = 1 | (1 & wild) << 1
        for character in name:
            stay = here & (stars if character == DELIMITER else wild)
            here = stay | (here & literals.get(character, 0)) << 1
            here |= (here & wild) << 1  # a wildcard may stand for nothing
        return bool(here & accepted)

    return matches
