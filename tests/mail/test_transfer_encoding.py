import quopri

import pytest

from mailsuite.mail.transfer_encoding import (
    base64_part,
    from_base64,
    from_quoted_printable,
    quoted_printable_part,
    seven_bit,
)


def test_what_is_ascii_stays_as_it_is():
    assert seven_bit(b"a = b \r\n" + b"x" * 900 + b"\r\n") == ("7bit", b"a = b \r\n" + b"x" * 900 + b"\r\n")


@pytest.mark.parametrize(
    "text",
    ["Grüße\r\n", "ü \r\n.\r\n..\r\n", "ü" * 300 + "\r\nb", "ü\t\r\n\r\nfrom = there\r\n", "From ü", "\N{SNOWMAN}"],
)
def test_quoted_printable_gives_back_the_octets_and_keeps_lines_short(text):
    encoding, octets = seven_bit(text.encode())
    assert encoding == "quoted-printable"
    assert octets.isascii()
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert all(len(line) <= 76 for line in octets.split(b"\r\n"))
    assert quopri.decodestring(octets) == text.encode()


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"QUJD\r\nRA==\r\n", b"ABCD"),
        (b"QUJDRA", b"ABCD"),  # without its padding
        (b"QUJDR", b"ABC"),
        (b"QQ==QkM=QUJD", b"ABCABC"),  # several texts, one behind the other
        (b"QUJD=QUJD", b"ABCABC"),
        (b"QU=JD", b"A$"),
        (b"Q*U.J<D", b"ABC"),
        (b"====", b""),
        (b"A", b""),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_base64_is_read_leniently_and_in_pieces(octets, expected, size):
    found, rest = b"", b""
    for at in range(0, len(octets), size):
        decoded, rest = base64_part(rest + octets[at : at + size])
        found += decoded
    assert found + from_base64(rest) == from_base64(octets) == expected


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a=E4b=e4=\r\nc", b"a\xe4b\xe4c"),
        (b"one=  \r\ntwo=\t\nthree", b"onetwothree"),
        (b"a = b =3D = ", b"a = b = = "),
        (b"cut =", b"cut "),
        (b"cut =4", b"cut =4"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_quoted_printable_is_read_leniently_and_in_pieces(octets, expected, size):
    found, rest = b"", b""
    for at in range(0, len(octets), size):
        decoded, rest = quoted_printable_part(rest + octets[at : at + size])
        found += decoded
    assert found + from_quoted_printable(rest) == expected


def test_of_quoted_printable_little_is_held_back():
    """A text of one line would else be held, and decoded, whole; so would blanks."""
    for octets in (b"=C3=A4" * 5_000 + b"=\r\nend", b"=" + b" " * 30_000, b"= " * 10_000):
        rest, longest = b"", 0
        for at in range(0, len(octets), 1001):
            _, rest = quoted_printable_part(rest + octets[at : at + 1001])
            longest = max(longest, len(rest))
        assert longest <= 200
