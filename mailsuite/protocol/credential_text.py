"""Names and passwords as programs send them: UTF-8, or what old programs for Windows send instead."""

# The code page of western Windows systems, which reads Latin-1 text alike: they differ where that has controls.
OLD_CHARSET = "cp1252"


def credential_text(octets: bytes) -> str:
    """Return the text of a name or password: UTF-8 as RFC 4616 §2 wants it, else OLD_CHARSET, which nearly any octets
    are, else Latin-1. All protocols use this one reading, so that a login that works in one works in the others."""
    for charset in ("utf-8", OLD_CHARSET):
        try:
            return octets.decode(charset)
        except UnicodeDecodeError:
            continue
    return octets.decode("latin-1")
