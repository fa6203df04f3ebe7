"""System flags as bits of one small integer, and their IMAP names (RFC 3501 §2.3.2)."""

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16
NAMES = {SEEN: "\\Seen", ANSWERED: "\\Answered", FLAGGED: "\\Flagged", DELETED: "\\Deleted", DRAFT: "\\Draft"}
BITS = {name.lower(): bit for bit, name in NAMES.items()}
