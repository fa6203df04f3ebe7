"""Which codec reads text in a charset that mail names: the one place where such a name meets Python's codecs.

A table made at the start, so that a name from outside is only ever looked up in it: asking `codecs.lookup` imports
whatever module is called so, keeps every name that it did not find for ever, and knows things that are no charset
(zip, rot13, idna) or take a time that grows with the square of the text (punycode). All in the table are linear and
run in C.
"""

import codecs
import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import Protocol

# Python's codecs of text, by their modules.
_CODECS = frozenset(
    "ascii utf_8 utf_8_sig utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_7"
    " latin_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11"
    " iso8859_13 iso8859_14 iso8859_15 iso8859_16 tis_620"
    " cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp1125 cp874 koi8_r koi8_t koi8_u kz1048 ptcp154"
    " cp037 cp273 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864"
    " cp865 cp866 cp869 cp1026 cp1140"
    " mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish hp_roman8"
    " big5 big5hkscs cp950 gb2312 gbk gb18030 hz euc_jp euc_jis_2004 euc_jisx0213 shift_jis shift_jis_2004"
    " shift_jisx0213 cp932 iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext"
    " euc_kr johab cp949 iso2022_kr".split()
)
# What senders mean by these is the larger set (https://encoding.spec.whatwg.org/#names-and-labels). ASCII stays what it
# is: most often nobody has thought of a charset at all (it is what RFC 2045 §5.2 supposes), so it is guessed at.
_LARGER = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "iso2022_jp_1": "iso2022_jp_ext",
}
# Codecs of JIS X 0208 alone: what Microsoft's programs write beside it (①, ㈱, 髙) is looked up in their own table.
_JAPANESE = frozenset({"iso2022_jp_ext", "iso2022_jp_2", "euc_jp"})
_LENIENT, _STRICT = "mailsuite-japanese", "mailsuite-japanese-strict"
_GUESSED = "mailsuite-guessed"
_SEVEN_BITS = bytes(octet & 0x7F for octet in range(256))
# Names that mail uses and Python does not know: what is left of the WHATWG's labels, and some seen in mail.
_MORE_NAMES = {
    name: codec
    for codec, names in {
        "utf_8": "unicode_1_1_utf_8 unicode11utf8 unicode20utf8 x_unicode20utf8 utf8mb4 utf_8_mac",
        "utf_7": "unicode_1_1_utf_7 utf7",
        "utf_16": "csunicode iso_10646_ucs_2 ucs_2 unicode unicodefeff",
        "utf_16_be": "unicodefffe",
        "ascii": "ansi_x3_4_1968 us",
        "cp1252": "iso_8859_1_windows_3_1_latin_1 ansi",
        "iso8859_2": "iso88592",
        "iso8859_3": "iso88593",
        "iso8859_4": "iso88594",
        "iso8859_5": "iso88595",
        "iso8859_6": "iso88596 iso_8859_6_e iso_8859_6_i csiso88596e csiso88596i",
        "iso8859_7": "iso88597 sun_eu_greek",
        "iso8859_8": "iso88598 iso_8859_8_e iso_8859_8_i iso_8859_8i csiso88598e csiso88598i logical visual",
        "iso8859_10": "iso885910",
        "iso8859_13": "iso885913",
        "iso8859_14": "iso885914",
        "iso8859_15": "iso885915 csisolatin9",
        "latin_1": "iso88591 csisolatin1",
        "iso8859_9": "iso88599",
        "cp874": "dos_874 windows_874 iso885911",
        "cp866": "csibm866",
        "koi8_r": "koi koi8",
        "koi8_u": "koi8_ru",
        "mac_roman": "mac csmacintosh",
        "mac_cyrillic": "mac_ukrainian",
        "gb18030": "windows_936 gb_2312 gb_2312_80 gb2312_80 csgb2312",
        "big5hkscs": "cn_big5 x_x_big5 windows_950",
        "euc_jp": "cseucpkdfmtjapanese",
        "cp932": "windows_31j windows_932 cswindows31j",
        "cp949": "windows_949 cseuckr csksc56011987 ks_c_5601_1989 ksc_5601 iso_ir_149",
        "iso2022_jp": "cp50220 cp50221 cp50222",
        "iso2022_kr": "csiso2022kr",
    }.items()
    for name in names.split()
}
_PARTED = re.compile(r"[^a-z0-9]+")
_EXPERIMENTAL = re.compile(r"\Ax_(?=[a-z])")
_MAX_NAME_OCTETS = 40
# A character of UTF-8 beyond ASCII, or the beginning of one at the end
_UTF_8 = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\xc2-\xf4][\x80-\xbf]{0,2}\Z"
_NO_UTF_8 = re.compile(rb"(?:[\x00-\x7f]++|(?!%b)[\x80-\xff])*+" % _UTF_8)
# Of what is no character in Japanese text so much is looked up: all of a few, or one of eight. With more it is none.
_LOOKED_UP, _LOOKED_UP_SHARE = 1_000, 8
_LINE_OCTETS = 64 * 1024  # of UTF-7; a longer one is cut anywhere


def _names() -> dict[str, str]:
    names = {name: name for name in _CODECS}
    names |= {name: codec for name, codec in aliases.items() if codec in _CODECS}
    names = {_PARTED.sub("_", name.lower()): codec for name, codec in names.items()} | _MORE_NAMES
    names |= {f"windows_{name[2:]}": codec for name, codec in names.items() if re.fullmatch(r"cp125\d", name)}
    return {name: _LARGER.get(codec, codec) for name, codec in names.items()}


CODECS_BY_NAME = _names()


def codec_of(charset: bytes) -> str | None:
    """Return the name of the codec for a charset's name in whatever case and spelling, with or without `x-` before it;
    None when there is none."""
    if len(charset) > _MAX_NAME_OCTETS:
        return None
    name = _PARTED.sub("_", charset.decode("latin-1").strip().lower())
    return CODECS_BY_NAME.get(name) or CODECS_BY_NAME.get(_EXPERIMENTAL.sub("", name))


def decode_charset(octets: bytes, charset: bytes) -> str:
    """Return the text of octets in the charset, what is no character as U+FFFD; where there is no codec for it, or it
    is ASCII, as UTF-8 or else windows-1252. Never raises."""
    codec = codec_of(charset)
    if codec is None or codec == "ascii":
        return decode_octets(octets)
    return _Japanese(codec).decode(octets, final=True) if codec in _JAPANESE else octets.decode(codec, "replace")


def decode_strictly(octets: bytes, codec: str) -> str:
    """Return the text of octets by a codec that `codec_of` has named. Raises UnicodeError for what is no character."""
    return octets.decode(codec, _STRICT if codec in _JAPANESE else "strict")


def decode_octets(octets: bytes) -> str:
    """Return octets that say nothing of their charset as text: UTF-8, and what is none as windows-1252. One text may
    have both, where somebody answers in the one to the other, or cuts a text within a character."""
    return octets.decode("utf_8", _GUESSED)


class PieceDecoder(Protocol):
    """Octets of a text in, piece after piece, the last with `final`; characters out. What is no character becomes
    U+FFFD."""

    def decode(self, octets: bytes, /, final: bool = False) -> str: ...


def piecewise_decoder(charset: bytes) -> PieceDecoder:
    """Return what decodes a text in the charset; where there is no codec for it, or it is ASCII, what guesses."""
    codec = codec_of(charset)
    if codec is None or codec == "ascii":
        return codecs.getincrementaldecoder("utf_8")(_GUESSED)
    if codec in ("utf_16", "utf_32"):
        return _EitherByteOrder(codec)
    if codec in _JAPANESE:
        return _Japanese(codec)
    return _LinesAlone() if codec == "utf_7" else codecs.getincrementaldecoder(codec)("replace")


class _Japanese:
    """Text in a charset of JIS X 0208, with Microsoft's characters where there are some."""

    def __init__(self, codec: str) -> None:
        self._decoder = codecs.getincrementaldecoder(codec)("replace")

    def decode(self, octets: bytes, /, final: bool = False) -> str:
        decoder, before = self._decoder, self._decoder.getstate()
        text = decoder.decode(octets, final)
        unknown = text.count("\ufffd")
        if not unknown or unknown > max(_LOOKED_UP, len(text) // _LOOKED_UP_SHARE):
            return text
        decoder.setstate(before)
        decoder.errors = _LENIENT
        text = decoder.decode(octets, final)
        decoder.errors = "replace"
        return text


class _LinesAlone:
    """UTF-7, decoded up to the last line end by then: none is within a run of base64 (RFC 2152). Python's own decodes
    an unfinished run again with each piece until it ends, so a run through many pieces would take a time that grows
    with the square of their number."""

    def __init__(self) -> None:
        self._begun = b""

    def decode(self, octets: bytes, /, final: bool = False) -> str:
        octets = self._begun + octets
        cut = len(octets) if final else octets.rfind(b"\n") + 1
        if len(octets) - cut > _LINE_OCTETS:
            cut = len(octets)
        self._begun = octets[cut:]
        return octets[:cut].decode("utf_7", "replace")


class _EitherByteOrder:
    """UTF-16 or UTF-32 in the order that its mark says, little endian without one: Python's own refuses that."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._decoder: PieceDecoder | None = None

    def decode(self, octets: bytes, /, final: bool = False) -> str:
        if self._decoder is None:
            is_big = octets[:4].lstrip(b"\0").startswith(b"\xfe\xff")
            self._decoder = codecs.getincrementaldecoder(f"{self._codec}_{'be' if is_big else 'le'}")("replace")
        return self._decoder.decode(octets, final).removeprefix("\ufeff")


def _microsofts(error: UnicodeError) -> tuple[str, int]:
    """Two octets that JIS X 0208 has no character for, as Microsoft's table reads them. Raises the error where that has
    none either. (An error handler of Python's codecs: text, and where to go on.)"""
    found = _microsofts_or_none(error)
    if found[0] == "\ufffd":
        raise error
    return found


def _microsofts_or_none(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    start = error.start
    character = _microsofts_table().get(error.object[start : start + 2].translate(_SEVEN_BITS))
    return (character, start + 2) if character else ("\ufffd", error.end)


@lru_cache(maxsize=1)
def _microsofts_table() -> dict[bytes, str]:
    """Characters by the two octets of their row and cell. Made once: to ask the codec at each error takes ten times as
    long, and there are texts of nothing but errors."""
    pairs = (bytes((row, cell)) for row in range(0x21, 0x7F) for cell in range(0x21, 0x7F))
    return {pair: character for pair in pairs if "\ufffd" not in (character := _as_shift_jis(*pair))}


def _as_shift_jis(row: int, cell: int) -> str:
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + 0x7E if row % 2 == 0 else cell + (0x1F if cell < 0x60 else 0x20)
    return bytes((lead, trail)).decode("cp932", "replace")


def _western(error: UnicodeError) -> tuple[str, int]:
    """What is no UTF-8, and all behind it up to where some begins: to be asked at every octet takes twenty times as
    long."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    run = _NO_UTF_8.match(error.object, error.end)
    end = run.end() if run else error.end
    return error.object[error.start : end].decode("cp1252", "replace"), end


codecs.register_error(_GUESSED, _western)
codecs.register_error(_STRICT, _microsofts)
codecs.register_error(_LENIENT, _microsofts_or_none)
