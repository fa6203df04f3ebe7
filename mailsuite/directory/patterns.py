"""Patterns of alias addresses, such as sales-*@example.org: which addresses fit them, which is tried first."""

from collections.abc import Sequence


def pattern_matches(pattern: str, key: str) -> bool:
    """Whether an address key fits a pattern's: `*` stands for any run of characters, none included. Each part between
    two stars is looked for once, from where the one before ended: were it found there, any later place would do no
    better."""
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == key
    last = middle.pop()
    at, end = len(first), len(key) - len(last)
    if at > end or not key.startswith(first) or not key.endswith(last):
        return False
    for part in middle:
        found = key.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def by_weight(patterns: Sequence[str]) -> tuple[str, ...]:
    """Patterns in the order in which they are tried: most literal characters first, then by name."""
    return tuple(sorted(patterns, key=lambda pattern: (-len(pattern.replace("*", "")), pattern)))
