"""Amounts of octets as people write and read them: `500M`, `2G`, `none` for no limit."""

import re

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
LARGEST = 2**62


def read_limit(text: str) -> int | None:
    """Octets of `500M`, `1G`, `1.5 GB` or a plain number, 0 for `none` or `unlimited`; None for anything else. That
    there is no limit has to be said: 0 is no limit's number."""
    text = text.strip()
    if text.lower() in ("none", "unlimited"):
        return 0
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*([KMGT]?)(?:I?B)?", text.upper(), re.ASCII)
    octets = int(float(match[1]) * UNITS[match[2]]) if match else 0
    return octets if 0 < octets < LARGEST else None


def write_limit(octets: int) -> str:
    """The same octets as `read_limit` reads them: in the largest unit that they fill with two decimals at most."""
    for letter, size in reversed(UNITS.items()):
        if size <= octets < 10_000 * size and octets * 100 % size == 0:
            return f"{octets / size:g}{letter}"
    return str(octets or "none")


def readable(octets: int) -> str:
    """`1.5 GB` and the like, in powers of 1,024."""
    size, unit = float(octets), "octets"
    for unit in ("octets", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if size >= 10 or unit == "octets" else f"{size:.1f} {unit}"
