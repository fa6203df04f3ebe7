import re

import pytest
from smuggling import SMUGGLED

from mailsuite.protocol.content import ContentReader, DotStuffer

WHOLE = [
    (b".\r\n", b"", b""),
    (b"\r\n.\r\n", b"\r\n", b""),
    (b"a\r\n.\r\n", b"a\r\n", b""),
    (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
    (b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
    (b"..\r\n.\r\n", b".\r\n", b""),
    (b"...\r\n.\r\n", b"..\r\n", b""),
    (b"a\r\n..\r\n..b\r\n.\r\n", b"a\r\n.\r\n.b\r\n", b""),
    (b".a\r\n.\r\n", b"a\r\n", b""),
    (b"\r\n\r\n\r\n.\r\n", b"\r\n\r\n\r\n", b""),
    (b"a.\r\n.\r\n", b"a.\r\n", b""),
    (b"a\r\n. \r\n.\r\n", b"a\r\n \r\n", b""),
]


def read(octets: bytes, cuts: tuple[int, ...] = ()) -> tuple[ContentReader, bytes]:
    reader, content, start = ContentReader(), b"", 0
    for end in (*cuts, len(octets)):
        if not reader.ended:
            content += reader.feed(octets[start:end])
            start = end
    reader.rest += octets[start:]
    return reader, content


@pytest.mark.parametrize(("octets", "content", "rest"), WHOLE)
def test_content_is_the_same_wherever_the_chunks_are_cut(octets, content, rest):
    for first in range(len(octets) + 1):
        for second in range(first, len(octets) + 1):
            reader, got = read(octets, (first, second))
            assert (got, reader.rest, reader.ended) == (content, rest, True)
            assert not reader.has_bare_line_ending
            assert reader.size_octets == len(content)


@pytest.mark.parametrize("octets", SMUGGLED)
def test_nothing_but_crlf_dot_crlf_ends_a_message(octets):
    whole = octets + b"MAIL FROM:<x@example.org>\r\n.\r\n"
    for cut in range(len(whole) + 1):
        reader, got = read(whole, (cut,))
        assert reader.ended
        assert got.endswith(b"MAIL FROM:<x@example.org>\r\n")
        assert reader.has_bare_line_ending


def test_nul_is_seen_in_any_chunk():
    for cut in range(8):
        reader, _ = read(b"ab\0cd\r\n.\r\n", (cut,))
        assert reader.has_nul


def test_one_octet_at_a_time():
    octets = b".x\r\n..y\r\n.\r\nNOOP\r\n"
    reader, got = read(octets, tuple(range(len(octets))))
    assert got == b"x\r\n.y\r\n"
    assert reader.rest == b"NOOP\r\n"


@pytest.mark.parametrize("octets", SMUGGLED)
def test_bare_line_ends_are_made_crlf_for_those_who_may_write_them(octets):
    whole = b"b\r\n" + octets + b"c\r\n.\r\n"
    results = set()
    for cut in range(len(whole) + 1):
        reader, content = ContentReader(normalize=True), b""
        for chunk in (whole[:cut], whole[cut:]):
            content += reader.feed(chunk)
        assert reader.ended
        assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")
        assert reader.size_octets == len(content)
        results.add(content)
    assert len(results) == 1


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


# A dot behind a bare LF is doubled on its way out, and only CRLF takes that back.
@pytest.mark.parametrize("message", [one for one in MESSAGES if b"\n." not in one.replace(b"\r\n.", b"")])
def test_what_goes_out_comes_in_again(message):
    stuffer, reader = DotStuffer(), ContentReader()
    octets = stuffer.stuff(message) + stuffer.end()
    content = b"".join(reader.feed(octets[at : at + 2]) for at in range(0, len(octets), 2) if not reader.ended)
    assert reader.ended
    assert content in (message, message + b"\r\n")
