"""Values of MIME header fields (RFC 2045 §5.1, RFC 2183), read leniently and in linear time.

A parameter sent in sections (`filename*0*=…; filename*1=…`) is put together, as IMAP servers should (RFC 2231 §8); its
charset stays in front and its octets stay percent-encoded, for the client to read (`filename*`).
"""

import re
from functools import lru_cache
from typing import NamedTuple

MAX_PARAMETERS = 200
_CACHED_OCTETS = 120  # longer values have boundaries or names and are not met again

_TYPE = re.compile(rb'\s*+([^\s/;"()=]++)\s*+/\s*+([^\s/;"()=]++)')
_WORD = re.compile(rb'\s*+([^\s;"()=]++)')
# parameter = attribute "=" (token / quoted-string); tokens of real senders hold parentheses and worse
_PARAMETER = re.compile(rb'[;\s]*+(?:([^\s=;"()]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?|([^;\s"]*+)))?', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# attribute "*" section ["*"]  (RFC 2231 §3 and §4.1)
_SECTION = re.compile(rb"([^*]++)\*(0|[1-9][0-9]{0,2})(\*?)")
# What an extended value must encode beside controls and octets beyond ASCII (RFC 2231 §7, attribute-char)
_TO_ENCODE = re.compile(rb"[^!#$&+\-.0-9A-Z^_`a-z{|}~]")

Parameters = tuple[tuple[bytes, bytes], ...]


class ContentType(NamedTuple):
    """A media type with its parameters; names are lower-case, values as received less their quotes."""

    main: bytes
    sub: bytes
    parameters: Parameters

    def parameter(self, name: bytes) -> bytes | None:
        """Return the value of the first parameter with this lower-case name, or None."""
        return next((value for key, value in self.parameters if key == name), None)


TEXT_PLAIN = ContentType(b"text", b"plain", ((b"charset", b"us-ascii"),))
MESSAGE_RFC822 = ContentType(b"message", b"rfc822", ())


def parse_content_type(value: bytes) -> ContentType:
    """Return the type in an unfolded Content-Type value; plain text when it makes no sense (RFC 2045 §5.2)."""
    return _cached_content_type(value) if len(value) <= _CACHED_OCTETS else _parse_content_type(value)


def parse_disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """Return type and parameters of an unfolded Content-Disposition value, or None when it has no type."""
    match = _WORD.match(value)
    return (match[1].lower(), _parse_parameters(value, match.end())) if match else None


def _parse_content_type(value: bytes) -> ContentType:
    match = _TYPE.match(value)
    if match is None:
        return TEXT_PLAIN
    main, sub = match[1].lower(), match[2].lower()
    parameters = _parse_parameters(value, match.end())
    if main == b"text" and not any(name.startswith(b"charset") for name, _ in parameters):
        parameters = (*parameters, (b"charset", b"us-ascii"))
    return ContentType(main, sub, parameters)


_cached_content_type = lru_cache(maxsize=512)(_parse_content_type)


def _parse_parameters(value: bytes, at: int) -> Parameters:
    """Return the parameters from the offset on; what is none is skipped up to the next semicolon."""
    found: list[tuple[bytes, bytes]] = []
    at = value.find(b";", at)
    while at >= 0 and len(found) < MAX_PARAMETERS:
        match = _PARAMETER.match(value, at)
        assert match is not None  # it matches the empty string too
        name, quoted, token = match.groups()
        if name is not None:
            found.append((name.lower(), token if quoted is None else _QUOTED_PAIR.sub(rb"\1", quoted)))
        at = value.find(b";", match.end())
    return _joined(found) if any(b"*" in name for name, _ in found) else tuple(found)


def _joined(parameters: list[tuple[bytes, bytes]]) -> Parameters:
    """Return the parameters with those sent in sections put together, each where its first section stood; sections
    that follow none are left as they are."""
    sections: dict[tuple[bytes, int], tuple[bytes, bool]] = {}
    for name, value in parameters:
        if match := _SECTION.fullmatch(name):
            sections.setdefault((match[1], int(match[2])), (value, bool(match[3])))
    joined: list[tuple[bytes, bytes]] = []
    for name, value in parameters:
        match = _SECTION.fullmatch(name)
        if match is None or (match[1], 0) not in sections:
            joined.append((name, value))
        elif int(match[2]) == 0:
            joined.append(_from_sections(match[1], sections))
    return tuple(joined)


def _from_sections(name: bytes, sections: dict[tuple[bytes, int], tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    is_extended = sections[name, 0][1]
    value, number = b"", 0
    while section := sections.get((name, number)):
        octets, is_encoded = section
        value += octets if is_encoded or not is_extended else _TO_ENCODE.sub(_percent, octets)
        number += 1
    return (name + b"*" if is_extended else name), value


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
