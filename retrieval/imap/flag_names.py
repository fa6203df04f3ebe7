r"""Flags as commands name them: system flags such as \Seen, and keywords."""

from mailsuite.store.flags import BITS, MAX_KEYWORDS_OCTETS
from retrieval.imap.errors import BadCommand, CommandRefused


def split_flags(names: list[str]) -> tuple[int, tuple[str, ...]]:
    r"""Return system flags as bits, and keywords. \Recent is passed over: it is the server's (RFC 3501 §2.3.2).
    Raises BadCommand for a system flag that there is not, CommandRefused for too many keywords."""
    bits = 0
    keywords: dict[str, str] = {}
    for name in names:
        lower = name.lower()
        if lower in BITS:
            bits |= BITS[lower]
        elif not name.startswith("\\"):
            keywords.setdefault(lower, name)
        elif lower != "\\recent":
            raise BadCommand("No such system flag")
    if len(" ".join(keywords)) > MAX_KEYWORDS_OCTETS:
        raise CommandRefused("LIMIT", f"The keywords of a message take at most {MAX_KEYWORDS_OCTETS} octets")
    return bits, tuple(keywords.values())
