"""Header fields with 8-bit text, written in ASCII: text becomes encoded words (RFC 2047), parameters of MIME fields
extended ones (RFC 2231). Octets that are not UTF-8 are taken for windows-1252, as wherever they are shown.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from mailsuite.mail.address_tokens import Kind, Token, address_tokens
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
_MAX_BLANKS = 5  # between an @ and what belongs to it
# What words of a name may be between.
_WORDS = (Kind.ATOM, Kind.MARK, Kind.SPACE)


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
    tokens = list(address_tokens(value))
    pieces: list[bytes] = []
    at, in_angle = 0, False
    while at < len(tokens):
        token, end = tokens[at], at + 1
        is_words = token.kind in (Kind.ATOM, Kind.MARK) and not (in_angle or _is_of_address(tokens, at))
        if is_words:
            end = _end_of_words(tokens, at)
        octets = value[token.start : tokens[end - 1].end]
        if octets.isascii() or in_angle or _is_of_address(tokens, at):
            pieces.append(octets)
        elif token.kind is Kind.COMMENT:
            pieces.append(b"(%b)" % _text(token.text))
        else:
            encoded = _text(octets if is_words else token.text)
            pieces.append(b"%b%b%b" % (_space(tokens[at - 1 : at]), encoded, _space(tokens[end : end + 1])))
        if token.kind is Kind.SPECIAL:
            in_angle = token.text == b"<" or (in_angle and token.text not in b">,;")
        at = end
    return b"".join(pieces)


def _space(beside: Sequence[Token]) -> bytes:
    """What parts an encoded word from the token beside it: nothing may touch one (RFC 2047 §5)."""
    return b" " if any(token.kind not in (Kind.SPACE, Kind.SPECIAL) for token in beside) else b""


def _is_of_address(tokens: Sequence[Token], at: int) -> bool:
    """Whether the token is beside an @, blanks aside."""
    before, behind = tokens[max(at - _MAX_BLANKS, 0) : at], tokens[at + 1 : at + 1 + _MAX_BLANKS]
    return any(_begins_with_at(beside) for beside in (reversed(before), behind))


def _begins_with_at(tokens: Iterable[Token]) -> bool:
    first = next((token for token in tokens if token.kind not in (Kind.SPACE, Kind.COMMENT)), None)
    return first is not None and first.kind is Kind.SPECIAL and first.text == b"@"


def _end_of_words(tokens: Sequence[Token], at: int) -> int:
    """The end of the run of words that begins there, less white space at its end. It becomes one encoded text: nothing
    may touch an encoded word (RFC 2047 §5)."""
    end = at + 1
    while end < len(tokens) and tokens[end].kind in _WORDS and not _is_of_address(tokens, end):
        end += 1
    while tokens[end - 1].kind is Kind.SPACE:
        end -= 1
    return end


def _parameters(parameters: Parameters) -> bytes:
    return b"".join(b";\r\n\t" + _parameter(*one) for one in parameters)


def _parameter(name: bytes, value: bytes) -> bytes:
    """One as quoted-string, or extended (RFC 2231 §4); a boundary must stay what it is."""
    if name.endswith(b"*"):
        return name + b"=" + value
    if value.isascii() or name == b"boundary":
        return b'%b="%b"' % (name, value.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    return b"%b*=utf-8''%b" % (name, quote(decode_text(value, _MAX_CHARACTERS), safe="").encode("ascii"))
