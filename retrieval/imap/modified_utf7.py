"""Folder names as they cross the wire: modified UTF-7 (RFC 3501 §5.1.3).

name     = *( direct / "&-" / "&" 1*base64 "-" )
direct   = %x20-25 / %x27-7E
base64   = UTF-16BE in base64 with "," for "/" and without padding; never of what could stand as it is,
           and never two runs in a row
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

_RUN = re.compile(rb"&([^-]*)-")
_SHIFTED = re.compile(r"&|[^\x20-\x7e]+")


class MalformedName(Exception):
    """These octets are no folder name."""


def decode_name(octets: bytes) -> str:
    """Return the name. Raises MalformedName for octets that no encoder may produce and for control characters."""
    pieces: list[str] = []
    at = 0
    while (run := octets.find(b"&", at)) >= 0:
        match = _RUN.match(octets, run)
        if match is None:
            raise MalformedName("a shift that does not end")
        pieces += _direct(octets[at:run]), _shifted(match[1])
        at = match.end()
    pieces.append(_direct(octets[at:]))
    name = "".join(pieces)
    if encode_name(name) != octets:
        raise MalformedName("not the shortest form")
    if any(c < " " or "\x7f" <= c <= "\x9f" or c in "\u2028\u2029" for c in name):
        raise MalformedName("a control character")
    return name


def encode_name(name: str) -> bytes:
    """Return the name in modified UTF-7."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode()
    return _SHIFTED.sub(_shift, name).encode()


def _direct(octets: bytes) -> str:
    if not octets.isascii():
        raise MalformedName("8-bit octets")
    return octets.decode()


def _shifted(octets: bytes) -> str:
    if not octets:
        return "&"
    if b"/" in octets:
        raise MalformedName("no base64 of modified UTF-7")
    try:
        units = b64decode(octets.replace(b",", b"/") + b"=" * (-len(octets) % 4), validate=True)
        return units.decode("utf-16-be")
    except (Base64Error, UnicodeDecodeError) as error:
        raise MalformedName("no base64 of UTF-16") from error


def _shift(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    units = match[0].encode("utf-16-be", "surrogatepass")
    return f"&{b64encode(units).decode().rstrip('=').replace('/', ',')}-"
