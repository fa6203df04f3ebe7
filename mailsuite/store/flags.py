"""System flags as bits of one small integer, and their IMAP names (RFC 3501 §2.3.2)."""

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16
NAMES = {SEEN: "\\Seen", ANSWERED: "\\Answered", FLAGGED: "\\Flagged", DELETED: "\\Deleted", DRAFT: "\\Draft"}
# Of one message, with the spaces between them: they count against no quota, and all sessions of a folder hold them.
MAX_KEYWORDS_OCTETS = 2_000
BITS = {name.lower(): bit for bit, name in NAMES.items()}
