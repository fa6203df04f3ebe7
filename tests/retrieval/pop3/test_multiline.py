import pytest

from retrieval.pop3.multiline import LineCounter


@pytest.mark.parametrize("size", range(1, 12))
def test_line_counter(size):
    body = b"one\r\ntwo\r\n\r\nfour"
    for lines, wanted in [(0, b""), (1, b"one\r\n"), (3, b"one\r\ntwo\r\n\r\n"), (4, body), (9, body)]:
        counter = LineCounter(lines)
        assert b"".join(counter.cut(body[at : at + size]) for at in range(0, len(body), size)) == wanted
