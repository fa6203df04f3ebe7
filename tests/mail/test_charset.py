"""Charsets that mail names: which codec reads them, and that a name from outside costs nothing."""

import codecs
import encodings
import sys

import pytest

from mailsuite.mail.charset import CODECS_BY_NAME, codec_of, decode_charset, decode_strictly, piecewise_decoder
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
        (b"x-windows-1251", "мир", "cp1251"),
        (b"utf8mb4", "ä", "utf_8"),
    ],
)
def test_what_senders_mean(charset, text, codec):
    octets = text.encode(codec)
    assert decode_charset(octets, charset) == text
    assert piecewise_decoder(charset).decode(octets, final=True) == text


# https://encoding.spec.whatwg.org/#names-and-labels, less those that it replaces or leaves to the page
LABELS = {
    "utf_8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859_2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso8859_3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso8859_4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso8859_5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso8859_6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e"
    " iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso8859_7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7"
    " iso_8859-7:1987 sun_eu_greek",
    "iso8859_8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8"
    " iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical",
    "iso8859_10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859_13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859_14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859_15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso8859_16": "iso-8859-16",
    "koi8_r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8_u": "koi8-ru koi8-u",
    "mac_roman": "csmacintosh mac macintosh x-mac-roman",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "ascii": "ansi_x3.4-1968 ascii us-ascii",
    "cp1252": "cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1"
    " latin1 windows-1252 x-cp1252",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5"
    " windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "mac_cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022_jp_ext": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601"
    " windows-949",
    "utf_16_be": "unicodefffe utf-16be",
    "utf_16": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16",
    "utf_16_le": "utf-16le",
}


@pytest.mark.parametrize("codec", LABELS)
def test_every_label_of_the_encoding_standard_is_known(codec):
    assert {label: codec_of(label.encode()) for label in LABELS[codec].split()} == dict.fromkeys(
        LABELS[codec].split(), codec
    )


@pytest.mark.parametrize(
    ("charset", "octets"),
    [
        (b"iso-2022-jp", b"a\x1b$B-!GrR`|{\x1b(I1\x1b(B z"),
        (b"cp50220", b"a\x1b$B-!GrR`|{\x1b(I1\x1b(B z"),
        (b"euc-jp", b"a\xad\xa1\xc7\xf2\xd2\xe0\xfc\xfb\x8e\xb1 z"),
        (b"shift_jis", b"a\x87\x40\x94\x92\x99\xde\xee\xf9\xb1 z"),
    ],
)
def test_japanese_as_microsofts_programs_write_it(charset, octets):
    decoder = piecewise_decoder(charset)
    text = "".join(decoder.decode(octets[at : at + 1]) for at in range(len(octets)))
    assert text == decode_charset(octets, charset) == "a①白呀￢ｱ z"
    assert decode_strictly(octets, codec_of(charset)) == text


@pytest.mark.parametrize("octets", [b"\x1b$B))\x1b(B", b"\xff", b"\x1b$B)", b"\x1b$B\x7f\x7f"])
def test_what_is_no_japanese(octets):
    assert decode_charset(octets, b"iso-2022-jp").strip("\ufffd(B") == ""
    with pytest.raises(UnicodeError):
        decode_strictly(octets, "iso2022_jp_ext")


@pytest.mark.parametrize("charset", [b"us-ascii", b"", b"unknown-8bit"])
@pytest.mark.parametrize("text", ["grün “Zitat”", "日本語", "plain"])
@pytest.mark.parametrize("codec", ["utf_8", "cp1252"])
def test_what_says_nothing_of_its_charset_is_guessed_at_alike_whole_and_in_pieces(charset, text, codec):
    octets = text.encode(codec, "ignore")
    decoder = piecewise_decoder(charset)
    pieces = "".join(decoder.decode(octets[at : at + 1]) for at in range(len(octets)))
    assert pieces == decode_charset(octets, charset) == octets.decode(codec)


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


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_a_run_of_utf_7_may_go_on_in_the_next_piece(size):
    text = "Grüße aus 日本\r\n" * 20 + "das Ende ä"
    octets, decoder = text.encode("utf_7"), piecewise_decoder(b"utf-7")
    pieces = [decoder.decode(octets[at : at + size]) for at in range(0, len(octets), size)]
    assert "".join(pieces) + decoder.decode(b"", final=True) == text


def test_of_utf_7_no_more_than_a_line_is_held_back():
    """Or a run that goes on through a thousand pieces would be read a thousand times."""
    decoder = piecewise_decoder(b"utf-7")
    texts = [decoder.decode(b"+" + b"AOQA5ADk" * 30_000) for _ in range(3)]
    assert texts == ["ä" * 90_000] * 3


@pytest.mark.parametrize("whole", [True, False])
def test_utf_8_and_windows_1252_in_one_text(whole):
    """As an answer has them, or a mail that was cut within a character."""
    octets, decoder = b"Gr\xfc\xdfe " + "日本 ü".encode() + b"\xe9 \xe6\x97", piecewise_decoder(b"")
    text = decode_charset(octets, b"") if whole else decoder.decode(octets) + decoder.decode(b"", final=True)
    assert text == "Grüße 日本 üé æ—"


@pytest.mark.parametrize("codec", ["euc_jp", "iso2022_jp", "cp932"])
def test_japanese_in_pieces_is_what_it_is_as_a_whole(codec):
    octets = "日本語テキスト plain\r\n".encode(codec)
    octets += {"euc_jp": b"\xad\xa1\xf4", "iso2022_jp": b"\x1b$B\x2d\x21\x1b(B", "cp932": b"\x87\x40"}[codec]
    whole = decode_charset(octets, codec.encode())
    assert "①" in whole
    for size in range(1, 8):
        decoder = piecewise_decoder(codec.encode())
        pieces = [decoder.decode(octets[at : at + size]) for at in range(0, len(octets), size)]
        assert "".join(pieces) + decoder.decode(b"", final=True) == whole


@pytest.mark.parametrize("octets", [b"\xff" * 5_000, b"\xffa" * 2_500, b"\x1b$B" + b"\x7e\x7d" * 5_000])
@pytest.mark.parametrize("charset", [b"euc-jp", b"iso-2022-jp", b"iso-2022-jp-2", b"us-ascii"])
def test_what_is_no_text_in_its_charset_is_not_looked_up_octet_by_octet(charset, octets):
    """50 KB in a subject took a second to read, 20 MB the time that a search of all mail may take."""
    decode_charset(octets[:10], charset)
    calls = 0

    def profile(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        decode_charset(octets, charset)
    finally:
        sys.setprofile(None)
    assert calls < 50


@pytest.mark.parametrize("mark", ["utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be"])
@pytest.mark.parametrize("with_mark", [True, False])
def test_utf_16_in_either_order(mark, with_mark):
    octets = (("\ufeff" if with_mark else "") + "Grüße").encode(mark)
    charset = mark[:6].encode()
    decoder = piecewise_decoder(charset)
    text = "".join(decoder.decode(octets[at : at + 4]) for at in range(0, len(octets), 4))
    if with_mark or mark.endswith("le"):
        assert text == "Grüße"
