from email.header import decode_header, make_header

import pytest

from mailsuite.mail.encoded_word import decode_text, encode_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?a_b=C3=A4?=", "a bä"),
        (b"=?UTF-8?B?w6Q=?= rest", "ä rest"),
        (b"=?utf-8?b?w6Q?=", "ä"),
        (b"=?utf-8?b?QQ==QkM=?=", "ABC"),
        (b"=?utf-8?q?two=0D=0Alines?=", "two lines"),
        (b"cut gr\xc3\xbcn \xe6\x97", "cut grün æ—"),
        (b"=?iso-8859-1?q?=E4?= =?iso-8859-1?q?=F6?=", "äö"),
        (b"=?iso-8859-1?q?=E4?= =?utf-8?q?=C3=B6?=", "äö"),
        (b"=?utf-8?b?w6Q=?=\t=?utf-8?b?w6Q=?=x", "ääx"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),
        (b"=?utf-8*de?q?=C3=A4?=", "ä"),
        (b"a =?utf-8?q?b?= c =?utf-8?q?d?= e", "a b c d e"),
        (b"=?gb2312?b?xOO6ww==?=", "你好"),
        (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?unknown-9?q?=C3=A4?=", "ä"),
        (b"=?idna?q?xn--a?=", "xn--a"),
        (b"=?rot13?q?abc?=", "abc"),
        (b"=?unicode_escape?q?=5Cu0041?=", "\\u0041"),
        (b"=?utf-8?q?=E4?=", "\ufffd"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?open", "=?utf-8?q?open"),
        (b"=?utf-8?q?=0D=0ABcc:=00x?=", " Bcc:x"),
        (b"\xc3\xa4", "ä"),
        (b"\xe4", "ä"),
        (b"=?utf-7?q?+2AA-?=", ""),
        (b"=?utf-8?Q?Are_you_there??=", "Are you there?"),
        (b"=?UTF-8?Q?What=27s_new?_All!?= tail", "What's new? All! tail"),
        (b"=?utf-8?Q?a?=20b?=", "a20b?="),  # which end is meant can't be told
        (b"=?utf-8?Q?Two words? Yes?= tail", "Two words? Yes tail"),
        (b"=?utf-8?q?open, why? =?utf-8?q?=C3=A4?=", "=?utf-8?q?open, why? ä"),
        (b"=?iso-8859-1?b?k1ppdGF0lA==?=", "“Zitat”"),
        (b"\x93Zitat\x94", "“Zitat”"),
        (b"=?us-ascii?q?=93Zitat=94?=", "“Zitat”"),
        (b"=?us-ascii?q?gr=C3=BCn?=", "grün"),
    ],
)
def test_decoded(value, expected):
    assert decode_text(value, 100) == expected


def test_words_are_decoded_however_many():
    assert decode_text(b" ".join([b"=?utf-8?q?a=C3=A4?="] * 1_000), 5_000) == "aä" * 1_000


def test_cut_anywhere_is_decoded():
    value = b"=?utf-8?q?a=C3=A4?= =?iso-2022-jp?b?GyRCRnxLXBsoQg==?= \xe4 =?gb2312?b?xOO6ww==?="
    for start in range(len(value)):
        for end in range(start, len(value) + 1):
            assert len(decode_text(value[start:end], 10)) <= 10


@pytest.mark.parametrize("text", ["plain", "Grüße", "a" * 50 + "ü" * 100, "日本" * 60, "odd =?utf-8?q?x?=", ""])
def test_encoded_text_comes_back(text):
    encoded = encode_text(text)
    assert encoded.isascii()
    assert all(len(line) <= 76 for line in encoded.split("\r\n ")) or encoded == text
    assert decode_text(encoded.replace("\r\n", "").encode(), 500) == text
    assert str(make_header(decode_header(encoded))) == text


def test_encoded_text_can_not_end_the_field():
    assert "\n" not in encode_text("a\r\nBcc: b")
