"""Strings as IMAP answers carry them (RFC 3501 §4.3)."""

NIL = b"NIL"


def imap_string(octets: bytes) -> bytes:
    """Return the octets as a quoted string, or as a literal when they are not all ASCII. They hold no CR, LF or NUL."""
    if not octets.isascii():
        return b"{%d}\r\n%b" % (len(octets), octets)
    if b'"' in octets or b"\\" in octets:
        octets = octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"%b"' % octets


def imap_nstring(octets: bytes | None) -> bytes:
    """Return the octets as a string, or NIL for None."""
    return NIL if octets is None else imap_string(octets)
