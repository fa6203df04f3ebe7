"""What keywords and folders say of a message, as the clients of the world use them."""

JUNK, WANTED, NONE = "junk", "wanted", "none"
# $Junk and $NotJunk are registered (RFC 9051 §2.3.2); Thunderbird and its kin write the others.
JUNK_KEYWORDS = frozenset({"$junk", "junk"})
WANTED_KEYWORDS = frozenset({"$notjunk", "notjunk", "$nonjunk", "nonjunk"})
# Out of Junk into these says nothing: junk is thrown away, and nobody files it as their own.
_SAYS_NOTHING = frozenset({"junk", "trash", "drafts", "sent"})
_OWN = frozenset({"drafts", "sent"})


def said_by_keywords(before: str, after: str) -> str:
    """Return what the change of a message's keywords says (junk, wanted; none: taken back), or "" for nothing."""
    # Nearly every change of keywords is about something else.
    if "unk" not in before.lower() and "unk" not in after.lower():
        return ""
    old, new = _about_junk(before), _about_junk(after)
    if old == new:
        return ""
    added = new - old
    # A client that says both, one after the other, means the later.
    says_junk = bool((added or new) & JUNK_KEYWORDS)
    says_wanted = bool((added or new) & WANTED_KEYWORDS)
    if says_junk is says_wanted:
        return "" if says_junk else NONE
    return JUNK if says_junk else WANTED


def said_by_move(source_role: str, target_role: str) -> str:
    """Return what a move or copy from a folder with one role to one with the other says, or ""."""
    if target_role == "junk":
        return "" if source_role == "junk" or source_role in _OWN else JUNK
    if source_role == "junk":
        return "" if target_role in _SAYS_NOTHING else WANTED
    return ""


def _about_junk(keywords: str) -> set[str]:
    return set(keywords.lower().split()) & (JUNK_KEYWORDS | WANTED_KEYWORDS)
