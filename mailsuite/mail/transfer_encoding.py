"""Content-Transfer-Encoding (RFC 2045 §6) of what we write ourselves: nothing of ours needs 8BITMIME of any host."""

import binascii


def seven_bit(octets: bytes) -> tuple[str, bytes]:
    """Return the encoding's name and the octets in it: as they are where they are ASCII, else as quoted-printable with
    lines ending in CRLF."""
    return ("7bit", octets) if octets.isascii() else ("quoted-printable", quoted_printable(octets))


def quoted_printable(octets: bytes) -> bytes:
    """Return the octets, whose lines end with CRLF, in lines of at most 76 that do so too (RFC 2045 §6.7)."""
    return binascii.b2a_qp(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
