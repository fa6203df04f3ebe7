"""Header fields with 8-bit text, written in ASCII: text becomes encoded words (RFC 2047), parameters of MIME fields
extended ones (RFC 2231). Octets that are not UTF-8 are taken for windows-1252, as wherever they are shown.
"""

import re
from urllib.parse import quote

from mailsuite.mail.encoded_word import decode_text, encode_text
from mailsuite.mail.header import unfold
from mailsuite.mail.mime_fields import Parameters, parse_content_type, parse_disposition

_UNSTRUCTURED = frozenset({b"subject", b"comments", b"content-description", b"organization", b"thread-topic"})
_ADDRESSES = frozenset(
    (
        *(b"from", b"sender", b"reply-to", b"to", b"cc"),
        *(b"resent-from", b"resent-sender", b"resent-reply-to", b"resent-to", b"resent-cc"),
    )
)
_MAX_CHARACTERS = 64 * 1024
# A quoted-string, a comment, an angle-addr, a run of atoms, or one octet of anything else. What is not closed goes on
# to the end, so that no octet is looked at again and again.
_TOKEN = re.compile(
    rb'"((?:[^"\\]|\\.?)*+)(?:"|\Z)|\(((?:[^()\\]|\\.?)*+)(?:\)|\Z)|<[^<>]*+>'
    rb'|([^\s"<>(),:;@](?:[^"<>(),:;@]*[^\s"<>(),:;@])?+)|.',
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


class NotConvertible(Exception):
    """There is no 7-bit form of this; str() says why, as the end of a sentence."""


def ascii_field(field: bytes) -> bytes:
    """Return a field as `split_fields` gives it, its last CR included. Raises NotConvertible for one that tells of
    hosts, addresses or signatures, and for an address that is not ASCII itself (RFC 6531 is for those)."""
    name, _, raw = field.partition(b":")
    key, value = name.rstrip().lower(), unfold(raw)
    if key in _UNSTRUCTURED or key.startswith(b"x-"):
        converted = _text(value)
    elif key in _ADDRESSES:
        converted = _addresses(value)
    elif key == b"content-type":
        content_type = parse_content_type(value)
        converted = content_type.main + b"/" + content_type.sub + _parameters(content_type.parameters)
    elif key == b"content-disposition" and (disposition := parse_disposition(value)):
        converted = disposition[0] + _parameters(disposition[1])
    else:
        converted = value
    if not (name.isascii() and converted.isascii()):
        raise NotConvertible(f"its field {name.decode('ascii', 'replace')} can't be written in ASCII")
    return name + b": " + converted + b"\r"


def _text(value: bytes) -> bytes:
    return encode_text(decode_text(value, _MAX_CHARACTERS)).encode("ascii")


def _addresses(value: bytes) -> bytes:
    """Names and comments as encoded words; what else is 8-bit stays so."""
    pieces: list[bytes] = []
    for token in _TOKEN.finditer(value):
        quoted, comment, words = token.groups()
        is_address = b"@" in (value[token.start() - 1 : token.start()], value[token.end() : token.end() + 1])
        if token[0].isascii() or is_address:
            pieces.append(token[0])
        elif comment is not None:
            pieces.append(b"(%b)" % _text(_QUOTED_PAIR.sub(rb"\1", comment)))
        elif quoted is not None:
            pieces.append(_text(_QUOTED_PAIR.sub(rb"\1", quoted)))
        else:
            pieces.append(_text(words) if words else token[0])
    return b"".join(pieces)


def _parameters(parameters: Parameters) -> bytes:
    return b"".join(b";\r\n\t" + _parameter(*one) for one in parameters)


def _parameter(name: bytes, value: bytes) -> bytes:
    """One as quoted-string, or extended (RFC 2231 §4); a boundary must stay what it is."""
    if name.endswith(b"*"):
        return name + b"=" + value
    if value.isascii() or name == b"boundary":
        return b'%b="%b"' % (name, value.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    return b"%b*=utf-8''%b" % (name, quote(decode_text(value, _MAX_CHARACTERS), safe="").encode("ascii"))
