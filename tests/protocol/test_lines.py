import pytest

from mailsuite.protocol.lines import Flaw, LineBuffer, LineTooLong


def test_lines_arrive_whole_however_they_are_cut():
    octets = b"NOOP\r\nSTAT\nfoo\r bar\r\n\r\nrest"
    for size in range(1, len(octets) + 1):
        buffer, lines = LineBuffer(), []
        for at in range(0, len(octets), size):
            buffer.feed(octets[at : at + size])
            while (line := buffer.take_line(100)) is not None:
                lines.append(line)
        assert lines == [b"NOOP", b"STAT", b"foo\r bar", b""]
        assert buffer.take(100) == b"rest"


def test_overlong_line_is_told_once_and_dropped():
    buffer = LineBuffer()
    buffer.feed(b"x" * 11)
    with pytest.raises(LineTooLong):
        buffer.take_line(10)
    for _ in range(3):
        buffer.feed(b"x" * 1000)
        assert buffer.take_line(10) is None
        assert len(buffer) == 0
    buffer.feed(b"x\r\nNOOP\r\n")
    assert buffer.take_line(10) == b"NOOP"


def test_limit_counts_the_line_end():
    buffer = LineBuffer()
    buffer.feed(b"12345678\r\n123456789\r\nNOOP\r\n")
    assert buffer.take_line(10) == b"12345678"
    with pytest.raises(LineTooLong):
        buffer.take_line(10)
    assert buffer.take_line(10) == b"NOOP"


def test_literals_are_taken_in_pieces():
    buffer = LineBuffer()
    buffer.feed(b"{5}\r\nabcde\r\n")
    assert buffer.take_line(10) == b"{5}"
    assert (buffer.take(3), buffer.take(2), buffer.take_line(10)) == (b"abc", b"de", b"")


def test_clear_forgets_an_overlong_line_too():
    buffer = LineBuffer()
    buffer.feed(b"x" * 20)
    with pytest.raises(LineTooLong):
        buffer.take_line(10)
    buffer.clear()
    buffer.feed(b"NOOP\r\n")
    assert buffer.take_line(10) == b"NOOP"


def strict_lines(octets: bytes, size: int, limit: int = 100) -> list[bytes | Flaw]:
    buffer, lines = LineBuffer(), []
    for at in range(0, len(octets), size):
        buffer.feed(octets[at : at + size])
        while (line := buffer.take_strict_line(limit)) is not None:
            lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"EHLO a\r\nNOOP\r\n\r\nrest", [b"EHLO a", b"NOOP", b""]),
        (b"NOOP\nQUIT\r\n", [Flaw.BARE_LF, b"QUIT"]),
        (b"\nQUIT\r\n", [Flaw.BARE_LF, b"QUIT"]),
        (b"NO\rOP\r\nQUIT\r\n", [Flaw.BARE_CR, b"QUIT"]),
        (b"NOOP\r\r\nQUIT\r\n", [Flaw.BARE_CR, b"QUIT"]),
        (b"\r\r\n", [Flaw.BARE_CR]),
        (b"NO\rOP\nQUIT\r\n", [Flaw.BARE_LF, b"QUIT"]),
        (b"12345678\r\n123456789\r\nQUIT\r\n", [b"12345678", Flaw.TOO_LONG, b"QUIT"]),
        (b"123456789012345\rx\r\nQUIT\r\n", [Flaw.TOO_LONG, b"QUIT"]),
        # To somebody between us and the client, the end of a long line may be two.
        (b"123456789012345\nQUIT\r\n", [Flaw.BARE_LF, b"QUIT"]),
        (b"123456789012345\n\nQUIT\r\n", [Flaw.BARE_LF, Flaw.BARE_LF, b"QUIT"]),
    ],
)
def test_a_strict_reader_hears_what_is_wrong_however_the_line_is_cut(octets, lines):
    for size in range(1, len(octets) + 1):
        assert strict_lines(octets, size, limit=10) == lines


def test_a_strict_reader_holds_one_octet_of_a_line_without_end():
    buffer = LineBuffer()
    for _ in range(3):
        buffer.feed(b"x" * 1000)
        assert buffer.take_strict_line(10) is None
        assert len(buffer) == 1
    buffer.feed(b"\r\nNOOP\r\n")
    assert [buffer.take_strict_line(10), buffer.take_strict_line(10)] == [Flaw.TOO_LONG, b"NOOP"]


def test_what_is_left_is_taken_lines_or_not():
    buffer = LineBuffer()
    buffer.feed(b"DATA\r\nSubject: x\r\n\r\nhalf a")
    assert buffer.take_strict_line(100) == b"DATA"
    assert buffer.take_all() == b"Subject: x\r\n\r\nhalf a"
    assert (buffer.take_all(), len(buffer)) == (b"", 0)


def test_a_line_taken_all_at_once_counts_from_its_beginning():
    """What is searched already belongs to octets that are gone."""
    buffer = LineBuffer()
    buffer.feed(b"x" * 9)
    assert buffer.take_line(10) is None
    assert buffer.take(9) == b"x" * 9
    buffer.feed(b"NOOP\r\n")
    assert buffer.take_line(10) == b"NOOP"


def test_a_limit_may_change_in_the_middle_of_a_line():
    """A line of SASL may be longer than a command, and the other way about."""
    buffer = LineBuffer()
    buffer.feed(b"x" * 15)
    assert buffer.take_line(20) is None
    with pytest.raises(LineTooLong):
        buffer.take_line(10)
    buffer.feed(b"\r\nNOOP\r\n")
    assert buffer.take_line(10) == b"NOOP"
