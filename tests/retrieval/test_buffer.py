import pytest

from retrieval.buffer import LineBuffer, LineTooLong


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
