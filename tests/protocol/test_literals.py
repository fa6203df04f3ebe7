import pytest

from mailsuite.protocol.lines import LineTooLong
from mailsuite.protocol.literals import Announcement, CommandLine, CommandReader

# Two commands that hold literals, one of them an empty one, pipelined with one that holds none.
OCTETS = b"a LOGIN {3}\r\nann {5+}\r\n\r\n{9}\r\nb NOOP  \r\nc LIST {0+}\r\n *\r\n"
READ = [
    CommandLine(b"a LOGIN {3}\r\nann {5+}\r\n\r\n{9}", True),
    CommandLine(b"b NOOP", True),
    CommandLine(b"c LIST {0+}\r\n *", True),
]


def read(octets: bytes, size: int, limit: int = 100) -> list[CommandLine]:
    """What a session reads that keeps every literal."""
    reader, commands = CommandReader(), []
    for at in range(0, len(octets), size):
        reader.receive(octets[at : at + size])
        while (found := reader.next(limit)) is not None:
            if isinstance(found, Announcement):
                reader.keep_literal(found.size)
            else:
                commands.append(found)
    assert reader.held_octets == 0
    return commands


@pytest.mark.parametrize("size", range(1, len(OCTETS) + 1))
def test_commands_are_the_same_wherever_the_chunks_are_cut(size):
    assert read(OCTETS, size) == READ


def test_an_announcement_says_whether_the_client_waits():
    reader = CommandReader()
    reader.receive(b"a APPEND x {12}\r\n")
    assert reader.next(100) == Announcement(b"a APPEND x {12}\r\n", 12, True, True)
    reader.drop_command()
    reader.receive(b"b APPEND x {12+}\r\n")
    assert reader.next(100) == Announcement(b"b APPEND x {12+}\r\n", 12, False, True)


def test_a_literal_that_is_streamed_is_taken_in_pieces():
    reader = CommandReader()
    reader.receive(b"a APPEND x {9+}\r\nabc")
    assert isinstance(reader.next(100), Announcement)
    reader.drop_command()
    assert reader.take_octets(9) == b"abc"
    reader.receive(b"def")
    assert reader.take_octets(6) == b"def"
    reader.receive(b"ghi\r\nb NOOP\r\n")
    assert reader.take_octets(3) == b"ghi"
    assert [reader.next(100), reader.next(100)] == [CommandLine(b"", True), CommandLine(b"b NOOP", True)]


def test_the_limit_is_for_the_text_of_a_command_and_not_for_its_literals():
    long = b"x" * 50
    assert read(b"a X {50+}\r\n" + long + b" {50+}\r\n" + long + b"\r\n", 7, limit=30) == [
        CommandLine(b"a X {50+}\r\n" + long + b" {50+}\r\n" + long, True)
    ]
    reader = CommandReader()
    reader.receive(b"a X {2+}\r\nxx yyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
    announced = reader.next(30)
    assert isinstance(announced, Announcement)
    reader.keep_literal(announced.size)
    with pytest.raises(LineTooLong):
        reader.next(30)


@pytest.mark.parametrize("octets", [b"a NO\0OP\r\n", b"a NO\rOP\r\n", b"a X {2+}\r\nok \0\r\n", b"a \r {2+}\r\nok\r\n"])
def test_text_with_nul_or_bare_cr_is_not_clean(octets):
    [command] = read(octets, 3)
    assert not command.is_clean


def test_a_literal_may_hold_anything():
    [command] = read(b"a X {4+}\r\n\0\r\nz\r\n", 3)
    assert command.is_clean


def test_what_came_before_tls_is_forgotten():
    reader = CommandReader()
    reader.receive(b"a X {10+}\r\nabc")
    announced = reader.next(100)
    assert isinstance(announced, Announcement)
    reader.keep_literal(announced.size)
    assert reader.next(100) is None
    reader.clear()
    assert reader.held_octets == 0
    reader.receive(b"b NOOP\r\n")
    assert reader.next(100) == CommandLine(b"b NOOP", True)
