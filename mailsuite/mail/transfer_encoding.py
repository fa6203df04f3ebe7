"""Content-Transfer-Encoding (RFC 2045 §6): written strictly, as nothing of ours needs 8BITMIME of any host; read
leniently, so that nothing is lost of what a sender or a host on the way has made of it."""

import binascii
import re

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_BLANKS_BEHIND = re.compile(rb"=[ \t]++(?=\r?\n)")
# What may become an escape or a soft line end with what follows
_BEGUN = re.compile(rb"=(?:[0-9A-Fa-f]|[ \t]*+\r?)?\Z")
_BEGUN_OCTETS = 200


def seven_bit(octets: bytes) -> tuple[str, bytes]:
    """Return the encoding's name and the octets in it: as they are where they are ASCII, else as quoted-printable with
    lines ending in CRLF."""
    return ("7bit", octets) if octets.isascii() else ("quoted-printable", quoted_printable(octets))


def quoted_printable(octets: bytes) -> bytes:
    """Return the octets, whose lines end with CRLF, in lines of at most 76 that do so too (RFC 2045 §6.7)."""
    return binascii.b2a_qp(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def base64_part(octets: bytes) -> tuple[bytes, bytes]:
    """Return what the next piece of a text in base64 stands for, and the letters at its end that belong to what
    follows. Octets that are no letters are passed over (RFC 2045 §6.8). Padding ends no more than what it stands
    behind: there are texts put together from several."""
    letters = octets.translate(None, _NOT_BASE64)
    if b"=" not in letters:
        whole = len(letters) - len(letters) % 4
        return binascii.a2b_base64(letters[:whole]), letters[whole:]
    *ended, rest = letters.split(b"=")
    decoded, rest = base64_part(rest)
    return b"".join([*map(_base64_run, filter(None, ended)), decoded]), rest


def from_base64(octets: bytes) -> bytes:
    """Return what a whole text in base64 stands for; its padding may be missing."""
    decoded, rest = base64_part(octets)
    return decoded + _base64_run(rest)


def quoted_printable_part(octets: bytes) -> tuple[bytes, bytes]:
    """Return what the next piece of a text in quoted-printable stands for, and the octets at its end that belong to
    what follows. A soft line end may have got blanks behind it on its way (RFC 2045 §6.7)."""
    begun = _BEGUN.search(octets, max(len(octets) - _BEGUN_OCTETS, 0))
    whole = begun.start() if begun else len(octets)
    octets, rest = octets[:whole], octets[whole:]
    if b"= " in octets or b"=\t" in octets:
        octets = _BLANKS_BEHIND.sub(b"=", octets)
    return binascii.a2b_qp(octets), rest


def from_quoted_printable(octets: bytes) -> bytes:
    """Return what a whole text in quoted-printable stands for."""
    decoded, rest = quoted_printable_part(octets)
    return decoded + binascii.a2b_qp(rest)


def _base64_run(letters: bytes) -> bytes:
    return binascii.a2b_base64((letters[:-1] if len(letters) % 4 == 1 else letters) + b"==")
