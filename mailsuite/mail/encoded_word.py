"""Text in header fields (RFC 2047): octets to what a person reads, within bounds, and text to encoded words."""

import binascii
import re
from collections.abc import Iterator

from mailsuite.mail.charset import decode_charset, decode_octets
from mailsuite.mail.transfer_encoding import from_base64

# encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="  (RFC 2047 §2, RFC 2231 §5)
# Real senders leave question marks and spaces in the text as they are: it goes on to "?=", never into a next "=?".
_ENCODED_WORD = re.compile(
    rb"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[^?\s]{0,40})?\?([BbQq])\?((?:[^?=]|=(?!\?(?!=))|\?(?!=))*+)\?="
)
# As many octets may stand for one character: there are mailers that put each into a word of its own.
_OCTETS_A_CHARACTER = 100
_Q_OCTET = re.compile(rb"=([0-9A-Fa-f]{2})")
_BLANK = re.compile("\r\n|[\t\n]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def decode_text(value: bytes, limit: int) -> str:
    """Return the text of an unfolded field value: encoded words decoded, other octets as UTF-8 or else windows-1252,
    control characters removed, cut to `limit` characters. Never raises."""
    value = value[: limit * _OCTETS_A_CHARACTER]
    text = "".join(decoded_pieces(value)) if b"=?" in value else decode_octets(value)
    return clean_text(text, limit)


def clean_text(text: str, limit: int) -> str:
    """Return the text without control characters, tabs and line ends as spaces, cut to `limit` characters."""
    if not text.isprintable():
        text = _CONTROL.sub("", _BLANK.sub(" ", text))
    return text[:limit]


def encode_text(text: str) -> str:
    """Return the text as it may stand in an unstructured field: as it is when printable ASCII, else as encoded words
    of at most 75 octets, parted by folds."""
    text = _CONTROL.sub(" ", text)
    if text.isascii() and "=?" not in text:
        return text
    chunks, chunk = [], b""
    for character in text:
        octets = character.encode()
        if len(chunk) + len(octets) > 42:
            chunks.append(chunk)
            chunk = b""
        chunk += octets
    words = [f"=?utf-8?B?{binascii.b2a_base64(chunk, newline=False).decode()}?=" for chunk in [*chunks, chunk]]
    return "\r\n ".join(words)


def decoded_pieces(value: bytes) -> Iterator[str]:
    """Yield the text of an unfolded field value in pieces, with each encoded word one at least, empty ones among them;
    `clean_text` makes them fit to be shown."""
    at, charset, pending = 0, b"", list[bytes]()
    for match in _ENCODED_WORD.finditer(value):
        between = value[at : match.start()]
        # White space between two encoded words is not part of the text (RFC 2047 §6.2). Neighbours in one charset are
        # decoded as one, since real senders split characters between them.
        joins = bool(charset) and not between.strip()
        if pending and not (joins and charset == match[1].lower()):
            yield decode_charset(b"".join(pending), charset)
            pending = []
        yield "" if joins else decode_octets(between)
        charset, at = match[1].lower(), match.end()
        pending.append(_decode_payload(match[3], match[2]))
    yield decode_charset(b"".join(pending), charset)
    yield decode_octets(value[at:])


def _decode_payload(payload: bytes, encoding: bytes) -> bytes:
    if encoding in b"Qq":
        return _Q_OCTET.sub(lambda match: binascii.unhexlify(match[1]), payload.replace(b"_", b" "))
    return from_base64(payload)
