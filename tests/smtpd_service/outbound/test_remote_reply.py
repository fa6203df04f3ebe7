import pytest

from smtpd_service.outbound.remote_reply import (
    MAX_LINE_OCTETS,
    MAX_LINES,
    MAX_REPLY_OCTETS,
    MAX_TEXT,
    ProtocolViolation,
    RemoteReply,
    ReplyReader,
    StrayLine,
)


def read(reader, octets, *, lenient=False):
    reader.feed(octets)
    return list(iter(lambda: reader.next(lenient=lenient), None))


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
    assert read(ReplyReader(), octets) == read(ReplyReader(), octets, lenient=True) == replies


@pytest.mark.parametrize("octets, replies", CASES)
def test_replies_cut_at_every_octet(octets, replies):
    reader, found = ReplyReader(), []
    for octet in octets:
        found += read(reader, bytes([octet]))
    assert found == replies
    assert reader.is_between_replies


@pytest.mark.parametrize(
    "octets, passed_over",
    [
        (b"hello\r\n", [StrayLine("hello")]),
        (b"25 OK\r\n", [StrayLine("25 OK")]),
        (b"2500 OK\r\n", [StrayLine("2500 OK")]),
        (b"250OK\r\n", [RemoteReply(250, ("OK",))]),
        (b" \t250 OK\r\n", [RemoteReply(250, ("OK",))]),
        (b"250-a\r\nb\r\n250 c\r\n", [StrayLine("b"), RemoteReply(250, ("a", "c"))]),
        (b"150 OK\r\n", [StrayLine("150 OK")]),
        (b"999 OK\r\n", [StrayLine("999 OK")]),
        (b"250-one\r\n551 two\r\n", [RemoteReply(551, ("one", "two"))]),
        (b"\x16\x03\x01\x02\x00\n", [StrayLine("")]),
    ],
)
def test_what_is_no_reply(octets, passed_over):
    """A violation where several replies are awaited, else passed over or, where it is nearly one, taken for it."""
    with pytest.raises(ProtocolViolation):
        read(ReplyReader(), octets)
    assert read(ReplyReader(), octets, lenient=True) == passed_over


def test_blank_lines_stand_for_no_reply():
    assert read(ReplyReader(), b"\r\n \r\n250 ok\r\n") == [StrayLine(""), StrayLine(""), RemoteReply(250, ("ok",))]


def test_long_replies_are_cut_and_endless_ones_end_the_session():
    [reply] = read(ReplyReader(), b"250-first\r\n250-" + b"x" * 10_000 + b"\r\n" + b"250-y\r\n" * 1000 + b"251 z\r\n")
    assert len(reply.lines) == MAX_LINES and reply.lines[-1] == "z" and len(reply.lines[1]) == MAX_LINE_OCTETS - 4
    for endless in (b"250 " + b"x" * MAX_REPLY_OCTETS, b"250-x\r\n" * MAX_REPLY_OCTETS, b"x\r\n" * MAX_REPLY_OCTETS):
        for lenient in (True, False):
            with pytest.raises(ProtocolViolation):
                read(ReplyReader(), endless, lenient=lenient)
    # Replies that each are in bounds may come together.
    assert len(read(ReplyReader(), (b"250 " + b"x" * 1000 + b"\r\n") * 200)) == 200


@pytest.mark.parametrize(
    "octets, reply",
    [
        (b"250 2.0.0 tak", RemoteReply(250, ("2.0.0 tak",))),
        (b"250-a\r\n250 ", RemoteReply(250, ("a", ""))),
        (b"250", None),
        (b"250-a", None),
        (b"250-a\r\n", None),
        (b"", None),
    ],
)
def test_what_was_said_when_the_host_closed(octets, reply):
    reader = ReplyReader()
    assert read(reader, octets, lenient=True) == []
    assert reader.at_end() == reply


def test_what_is_kept_of_a_reply_is_bounded():
    """A host that puts off with 60 KB of words, at each attempt of five days, would else fill the disk."""
    lines = (b"450-" + b"x" * 4000 + b"\r\n") * 15
    [reply] = read(ReplyReader(), b"450-4.7.1 later\r\n" + lines + b"450 end\r\n")
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
        # As real hosts write them
        (550, "#5.1.0 Address rejected.", "5.1.0"),
        (550, "5.1.1: no such user", "5.1.1"),
        (550, " 5.7.1, spam", "5.7.1"),
        (550, "5.7.1... spam", "5.7.1"),
        (550, "5.01.001 x", "5.1.1"),
        (550, "(5.7.1) spam", "5.7.1"),
        (550, "<ann@far.example> [5.1.1] unknown", "5.1.1"),
        (550, "sorry, no mailbox here by that name. (#5.1.1)", "5.1.1"),
        (451, "host mx.far.example said: 450 4.2.2 full", "4.2.2"),
        (550, "4.7.1 (5.7.26) not authenticated", "5.7.26"),
        (550, "your host [5.1.1.7] is listed", ""),
        (550, "5.1.1.7 is listed", ""),
        (550, "Mailer 5.1.1 says no", ""),
        (550, "id 1550 5.1.1", ""),
    ],
)
def test_enhanced_codes(code, line, enhanced):
    assert RemoteReply(code, (line,)).enhanced_code == enhanced


@pytest.mark.parametrize(
    ("octets", "enhanced"),
    [
        (b"550-Your message was refused.\r\n550 5.7.1 see our page\r\n", "5.7.1"),
        (b"550-refused\r\n550-#5.7.1 see\r\n550 our page\r\n", "5.7.1"),
        (b"550-5.1.1 unknown\r\n554 5.7.1 see our page\r\n", "5.1.1"),
    ],
)
def test_the_enhanced_code_may_stand_in_any_line(octets, enhanced):
    [reply] = read(ReplyReader(), octets, lenient=True)
    assert reply.enhanced_code == enhanced


def test_a_reply_as_one_line():
    assert str(RemoteReply(550, ("5.1.1 no", "", "such user"))) == "550 5.1.1 no such user"
