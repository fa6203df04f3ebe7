"""Content-Transfer-Encoding (RFC 2045 §6) of what we write ourselves: nothing of ours needs 8BITMIME of any host."""

import binascii


def seven_bit(octets: bytes) -> tuple[str, bytes]:
    """Return the encoding's name and the octets in it: as they are where they are ASCII, else as quoted-printable with
    lines ending in CRLF."""
    if octets.isascii():
        return "7bit", octets
    encoded = binascii.b2a_qp(octets.replace(b"\r\n", b"\n"))
    return "quoted-printable", encoded.replace(b"\n", b"\r\n")
