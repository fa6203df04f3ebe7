"""Matching folder names against LIST's patterns: `*` for anything, `%` for anything within one part (RFC 3501 §6.3.8).

All ways through the pattern are followed at once, as the bits of one integer, so a name costs one step for each of its
characters however the wildcards stand; and one pass tells of the names above it as well.
"""

import re

from retrieval.imap.grammar import DELIMITER

MAX_PATTERN_CHARACTERS = 2_001  # names have 1,000, and a wildcard stands at most between each two characters
_WILDCARDS = re.compile(r"[*%]{2,}")
_STEP_OCTETS = 64  # what a step costs, beside its integer's size, in octets of work (retrieval.pace)


class Pattern:
    """A pattern, ready to be matched against many names."""

    def __init__(self, text: str) -> None:
        text = _WILDCARDS.sub(lambda match: "*" if "*" in match[0] else "%", text)
        self._is_possible = len(text) <= MAX_PATTERN_CHARACTERS
        self._literals: dict[str, int] = {}
        self._stars = percents = 0
        for at, character in enumerate(text if self._is_possible else ""):
            if character == "*":
                self._stars |= 1 << at
            elif character == "%":
                percents |= 1 << at
            else:
                self._literals[character] = self._literals.get(character, 0) | 1 << at
        self._wild, self._accepted = self._stars | percents, 1 << len(text)
        self._cost = _STEP_OCTETS + len(text) // 4

    def cost(self, name: str) -> int:
        """Return what matching the name costs, in octets of work."""
        return self._cost * len(name)

    def levels(self, name: str) -> list[int]:
        """Return where in the name a whole name ends that matches: before a delimiter, or at its end."""
        if not self._is_possible:
            return []
        ends: list[int] = []
        stars, wild, accepted, literal = self._stars, self._wild, self._accepted, self._literals.get
        here = 1 | (1 & wild) << 1
        for at, character in enumerate(name):
            if character == DELIMITER:
                if here & accepted:
                    ends.append(at)
                stay = here & stars
            else:
                stay = here & wild
            here = stay | (here & literal(character, 0)) << 1
            here |= (here & wild) << 1  # a wildcard may stand for nothing
        if here & accepted:
            ends.append(len(name))
        return ends
