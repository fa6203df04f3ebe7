"""Tag lists (RFC 6376 §3.2), the one syntax of signatures and of key records, and the values in them.

    tag-list = tag-spec *( ";" tag-spec ) [ ";" ]
    tag-spec = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]

A value may hold octets above ASCII: RFC 8616 §4 lets U-labels stand in d=, i= and s=. A hyphen in a name is taken,
since who does not know a tag must pass over it, and signers have some of their own.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

WHITE_SPACE = b" \t\r\n"

TAG_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*")
_QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NUMBER = re.compile(rb"[0-9]+")


class TagError(ValueError):
    """What is wrong with a tag list or with a value in it, in words for people."""


@dataclass(frozen=True, slots=True)
class Tag:
    """`value` is without the white space around it; the octets from `start` to `end` of the list are the value with
    it."""

    value: bytes
    start: int
    end: int


Tags = Mapping[str, Tag]


def parse_tags(text: bytes) -> dict[str, Tag]:
    """Return the tags by name, in their order. Raises TagError: a list with a name twice is invalid as a whole."""
    tags: dict[str, Tag] = {}
    start = 0
    specs = text.split(b";")
    for number, spec in enumerate(specs):
        name_octets, equals, value = spec.partition(b"=")
        name_octets = name_octets.strip(WHITE_SPACE)
        end = start + len(spec)
        if not spec.strip(WHITE_SPACE) and number and number == len(specs) - 1:
            break
        if not equals or not TAG_NAME.fullmatch(name_octets):
            raise TagError("part of it is no name=value")
        if _FORBIDDEN.search(value):
            raise TagError("there is a control character in it")
        name = name_octets.decode("ascii")
        if name in tags:
            raise TagError(f"{name}= stands in it twice")
        tags[name] = Tag(value.strip(WHITE_SPACE), end - len(value), end)
        start = end + 1
    return tags


def base64_value(value: bytes, name: str) -> bytes:
    """Return the octets of a base64 value, which white space may interrupt and whose padding may be missing
    (`base64string`, RFC 6376 §2.10). Raises TagError."""
    packed = value.translate(None, WHITE_SPACE)
    if not packed.endswith(b"="):
        packed += b"=" * (-len(packed) % 4)
    try:
        return binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error:
        raise TagError(f"{name}= is no base64") from None


def colon_list(value: bytes) -> list[bytes]:
    """Return the elements of a list such as h= or s=, without the white space around them. One that is empty says
    nothing: some signers end a list with a colon."""
    elements = (element.strip(WHITE_SPACE) for element in value.split(b":"))
    return [element for element in elements if element]


def number_value(value: bytes, name: str, digits: int) -> int:
    """Return a number of at most so many digits. Raises TagError."""
    if len(value) > digits or not _NUMBER.fullmatch(value):
        raise TagError(f"{name}= is no number")
    return int(value)


def unquote(value: bytes) -> str:
    """Return the text of dkim-quoted-printable (RFC 6376 §2.11). A = that quotes nothing stands for itself, as signers
    of VERP addresses (bounce+ann=example.org@…) write it; what is no UTF-8 becomes U+FFFD."""
    packed = value.translate(None, WHITE_SPACE)
    return _QUOTED.sub(lambda found: binascii.a2b_hex(found[1]), packed).decode("utf-8", "replace")


def utf8_value(value: bytes, name: str) -> str:
    """Return the text. Raises TagError."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise TagError(f"{name}= is no UTF-8") from None
