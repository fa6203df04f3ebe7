import pytest

from smtpd_service.outbound.remote_reply import MAX_LINE_OCTETS, MAX_TEXT, ProtocolViolation, RemoteReply, ReplyReader

CASES = [
    (b"250 OK\r\n", [RemoteReply(250, ("OK",))]),
    (b"250\r\n", [RemoteReply(250, ("",))]),
    (b"250 \r\n", [RemoteReply(250, ("",))]),
    (b"220 bare line feed\n", [RemoteReply(220, ("bare line feed",))]),
    (b"250-one\r\n250-two\r\n250 three\r\n", [RemoteReply(250, ("one", "two", "three"))]),
    (b"250-one\r\n250\r\n", [RemoteReply(250, ("one", ""))]),
    (b"250 a\r\n354 b\r\n", [RemoteReply(250, ("a",)), RemoteReply(354, ("b",))]),
    (b"550 \xc3\xa4 \xff\x00\x1b[1m\t!\r\n", [RemoteReply(550, ("\u00e4 \ufffd  [1m !",))]),
]


@pytest.mark.parametrize("octets, replies", CASES)
def test_replies(octets, replies):
    assert ReplyReader().feed(octets) == replies


@pytest.mark.parametrize("octets, replies", CASES)
def test_replies_cut_at_every_octet(octets, replies):
    reader, found = ReplyReader(), []
    for octet in octets:
        found += reader.feed(bytes([octet]))
    assert found == replies
    assert reader.is_between_replies


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"25 OK\r\n",
        b"2500 OK\r\n",
        b"250OK\r\n",
        b"150 OK\r\n",
        b"999 OK\r\n",
        b"\r\n",
        b"250-one\r\n251 two\r\n",
        b"\x16\x03\x01\x02\x00\n",
        b"250 " + b"x" * MAX_LINE_OCTETS,
        b"250 " + b"x" * MAX_LINE_OCTETS + b"\r\n",
        b"250-x\r\n" * 1000,
    ],
)
def test_what_is_no_reply(octets):
    with pytest.raises(ProtocolViolation):
        ReplyReader().feed(octets)


def test_what_is_kept_of_a_reply_is_bounded():
    """A host that puts off with 800 KB of words, at each attempt of five days, would else fill the disk."""
    lines = b"".join(b"450-" + b"x" * 4000 + b"\r\n" for _ in range(199))
    [reply] = ReplyReader().feed(b"450-4.7.1 later\r\n" + lines[:-4006] + b"450 end\r\n")
    assert len(str(reply)) == MAX_TEXT
    assert str(reply).startswith("450 4.7.1 later xxx") and str(reply).endswith("x…")
    assert reply.enhanced_code == "4.7.1"


@pytest.mark.parametrize(
    "code, line, enhanced",
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (550, "5.1.1", "5.1.1"),
        (250, "5.1.1 contradicts", ""),
        (550, "5.1.1no space", ""),
        (550, "no code 5.1.1", ""),
        (550, "5.1.1234 too long", ""),
    ],
)
def test_enhanced_codes(code, line, enhanced):
    assert RemoteReply(code, (line,)).enhanced_code == enhanced


def test_a_reply_as_one_line():
    assert str(RemoteReply(550, ("5.1.1 no", "", "such user"))) == "550 5.1.1 no such user"
