import quopri

import pytest

from mailsuite.mail.transfer_encoding import seven_bit


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
