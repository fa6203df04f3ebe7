"""Charsets that mail names: which codec reads them, and that a name from outside costs nothing."""

import codecs
import encodings

import pytest

from mailsuite.mail.charset import CODECS_BY_NAME, codec_of, decode_charset, piecewise_decoder
from mailsuite.mail.encoded_word import decode_text


@pytest.mark.parametrize(
    ("charset", "text", "codec"),
    [
        (b"iso-8859-1", "“Zitat” €", "cp1252"),
        (b"ISO_8859-1:1987", "“Zitat”", "cp1252"),
        (b"latin1", "über", "cp1252"),
        (b"gb2312", "朱镕基", "gb18030"),
        (b"x-gbk", "朱镕基", "gb18030"),
        (b"shift_jis", "①髙橋", "cp932"),
        (b"x-sjis", "日本語", "cp932"),
        (b"windows-874", "กขค", "cp874"),
        (b"TIS-620", "กขค", "cp874"),
        (b"iso-8859-8-i", "שלום", "iso8859_8"),
        (b"ks_c_5601-1987", "안녕 똠", "cp949"),
        (b"big5", "你好", "big5hkscs"),
        (b"iso-2022-jp", "日本語", "iso2022_jp"),
        (b"utf8", "ä", "utf_8"),
        (b" UTF-8 ", "ä", "utf_8"),
        (b"unicode-1-1-utf-8", "ä", "utf_8"),
        (b"us-ascii", "ä", "utf_8"),
        (b"utf-7", "Grüße +", "utf_7"),
        (b"koi8-r", "мир", "koi8_r"),
        (b"macintosh", "é", "mac_roman"),
        (b"utf-16be", "ä", "utf_16_be"),
    ],
)
def test_what_senders_mean(charset, text, codec):
    octets = text.encode(codec)
    assert decode_charset(octets, charset) == text
    assert piecewise_decoder(charset).decode(octets) == text


@pytest.mark.parametrize(
    "charset",
    "punycode idna unicode_escape raw_unicode_escape rot13 rot_13 zip zlib bz2 hex base64 quopri uu undefined mbcs oem"
    " charmap string_escape unknown-8bit x-user-defined".split()
    + ["", "a" * 1000, "os", "..", "encodings.utf_8", "\xe9"],
)
def test_what_is_no_charset_of_mail_is_read_as_utf_8(charset):
    name = charset.encode()
    assert codec_of(name) is None
    assert decode_charset(b"gr\xc3\xbcn", name) == piecewise_decoder(name).decode(b"gr\xc3\xbcn") == "grün"
    assert decode_charset(b"gr\xfcn", name) == "grün"


def test_names_from_outside_are_never_asked_of_python(monkeypatch):
    """It would import modules of that name, and keep every name for ever."""
    before = len(encodings._cache)

    def lookup(name, known=codecs.lookup):
        assert name in CODECS_BY_NAME.values(), name
        return known(name)

    monkeypatch.setattr(codecs, "lookup", lookup)
    for number in range(1000):
        assert decode_text(b"=?x-%d?q?a?=" % number, 10) == "a"
        piecewise_decoder(b"y-%d" % number)
    assert len(encodings._cache) == before


@pytest.mark.parametrize("codec", sorted(set(CODECS_BY_NAME.values())))
def test_every_codec_takes_any_octets_whole_and_in_pieces(codec):
    octets = bytes(range(256)) * 8
    whole = decode_charset(octets, codec.encode())
    decoder = piecewise_decoder(codec.encode())
    pieces = [decoder.decode(octets[at : at + 100]) for at in range(0, len(octets), 100)]
    assert whole and len("".join(pieces)) > len(octets) // 10


def test_utf_7_holds_nothing_back_from_piece_to_piece():
    """Or a run that goes on through a thousand pieces would be read a thousand times."""
    decoder = piecewise_decoder(b"utf-7")
    texts = [decoder.decode(b"+" + b"AOQA5ADk" * 30) for _ in range(3)]
    assert texts == ["ä" * 90] * 3


@pytest.mark.parametrize("mark", ["utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be"])
@pytest.mark.parametrize("with_mark", [True, False])
def test_utf_16_in_either_order(mark, with_mark):
    octets = (("\ufeff" if with_mark else "") + "Grüße").encode(mark)
    charset = mark[:6].encode()
    decoder = piecewise_decoder(charset)
    text = "".join(decoder.decode(octets[at : at + 4]) for at in range(0, len(octets), 4))
    if with_mark or mark.endswith("le"):
        assert text == "Grüße"
