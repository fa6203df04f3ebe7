import re

import pytest

from retrieval.pop3.multiline import DotStuffer, LineCounter

MESSAGES = [
    b"",
    b".",
    b"..",
    b"\r\n",
    b".\r\n",
    b"a\r\n.b\r\n..\r\n",
    b"a\n.\nb",
    b"a\r",
    b"\r\n.\r\n.",
    b"x\n.\r\nQUIT\r\n",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_any_cut_gives_the_same_and_comes_back(message):
    whole = DotStuffer()
    wanted = whole.stuff(message) + whole.end()
    for size in range(1, len(message) + 1):
        stuffer = DotStuffer()
        pieces = [stuffer.stuff(message[at : at + size]) for at in range(0, len(message), size)]
        assert b"".join(pieces) + stuffer.end() == wanted
    assert wanted.endswith(b".\r\n")
    body = re.sub(rb"(?m)^\.\.", b".", wanted[:-3])
    assert body in (message, message + b"\r\n")


@pytest.mark.parametrize("message", MESSAGES)
def test_nothing_in_a_message_ends_the_response(message):
    stuffer = DotStuffer()
    wanted = stuffer.stuff(message) + stuffer.end()
    lines = wanted.split(b"\n")
    assert lines[-2:] == [b".\r", b""]
    assert not any(line in (b".", b".\r") for line in lines[:-2])


@pytest.mark.parametrize("size", range(1, 12))
def test_line_counter(size):
    body = b"one\r\ntwo\r\n\r\nfour"
    for lines, wanted in [(0, b""), (1, b"one\r\n"), (3, b"one\r\ntwo\r\n\r\n"), (4, body), (9, body)]:
        counter = LineCounter(lines)
        assert b"".join(counter.cut(body[at : at + size]) for at in range(0, len(body), size)) == wanted
