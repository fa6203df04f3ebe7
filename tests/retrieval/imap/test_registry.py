"""A command of IMAP is one module and one entry of a tuple: this file is such a module, and asks of its client all that
a command can."""

from dataclasses import dataclass

import pytest
from memory_mail_store import MemoryDirectory

from mailsuite.protocol.literals import Announcement
from retrieval.imap.context import Completion, Context, ImapLimits, Output
from retrieval.imap.continuation import NextLine, NextLineOrChange, NextOctets
from retrieval.imap.errors import BadCommand, CommandRefused
from retrieval.imap.grammar import Scanner
from retrieval.imap.registry import FEATURES, Registry
from retrieval.imap.session import ImapSession
from retrieval.imap.verb import LOGGED_IN, SELECTED, Capability, Feature, Verb, logged_in

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"
CLOSED: list[str] = []


@dataclass(frozen=True, slots=True)
class Echo:
    words: tuple[str, ...] = ()
    size_octets: int = 0
    synchronizing: bool = False


def parse(scanner: Scanner) -> Echo:
    scanner.space()
    return Echo(tuple(scanner.parenthesized(scanner.atom)))


def parse_to_literal(context: Context, scanner: Scanner, announcement: Announcement) -> Echo | None:
    scanner.space()
    if not scanner.starts_with(b"~{") and not scanner.starts_with(b"{"):
        return None
    return Echo((), announcement.size, announcement.synchronizing)


async def echo(context: Context, command: Echo) -> Output:
    """Say what comes: of a literal, and then for each word what it asks for."""
    literal = b""
    missing, prompt = command.size_octets, b"+ go on\r\n" if command.synchronizing else b""
    try:
        while missing:
            octets = yield NextOctets(min(missing, 5), prompt)
            assert 1 <= len(octets) <= 5
            literal += octets
            missing, prompt = missing - len(octets), b""
        if literal:
            rest = yield NextLine()
            yield b"* ECHO %b behind %b\r\n" % (literal.replace(b"\r\n", b"/"), rest)
        for word in command.words:
            if word == "line":
                line = yield NextLine(b"+ a line\r\n")
                yield b"* ECHO %b\r\n" % line
            elif word == "wait":
                heard = yield NextLineOrChange(b"+ waiting\r\n")
                while heard is None:
                    yield b"* ECHO change\r\n"
                    heard = yield NextLineOrChange()
                yield b"* ECHO %b\r\n" % heard
            elif word == "bad":
                raise BadCommand("Asked to")
            elif word == "bug":
                raise ZeroDivisionError
            elif word == "bye":
                yield Completion("BYE", "Enough")
            else:
                raise CommandRefused("CANNOT", "No such word")
    finally:
        CLOSED.append("echo")


FEATURE = Feature(
    verbs=(
        Verb("ECHO", LOGGED_IN, parse, echo, parse_to_literal=parse_to_literal),
        Verb("UID ECHO", SELECTED, parse, echo),
    ),
    capabilities=(
        Capability("X-ECHO"),
        Capability("X-ECHO-LATER", logged_in),
        Capability(lambda context: f"X-LIMIT={context.limits.bad_commands}", logged_in),
    ),
)


@pytest.fixture
def echoing(connect, mailbox):
    """A client that has logged in to a server that knows ECHO, too."""
    CLOSED.clear()
    client = connect().log_in()
    directory = MemoryDirectory(mailbox)
    client.session = ImapSession(
        *(ImapLimits(), "mail.example.org", True, True, directory, "192.0.2.1"), registry=Registry((*FEATURES, FEATURE))
    )
    client.said = client.session.greeting()
    assert b"[CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE X-ECHO AUTH=PLAIN AUTH=LOGIN]" in client.said
    return client.log_in()


def test_capabilities_are_what_the_features_announce(echoing, client):
    always, logged_in = (
        "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE",
        ("IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE SPECIAL-USE CREATE-SPECIAL-USE APPENDLIMIT=52428800"),
    )
    assert client.command("CAPABILITY")[0] == f"* CAPABILITY {always} {logged_in}"
    told = echoing.command("CAPABILITY")[0]
    assert told == f"* CAPABILITY {always} X-ECHO {logged_in} X-ECHO-LATER X-LIMIT=20"


def test_a_verb_is_legal_in_its_states_alone(echoing, client):
    assert client.command("ECHO ()") == ["BAD Unknown command"]
    assert echoing.command("ECHO ()") == ["OK Completed"]
    assert echoing.command("UID ECHO ()") == ["BAD UID ECHO is not valid in authenticated state"]
    assert echoing.select().command("UID ECHO ()") == ["OK Completed"]
    assert echoing.command("ECHO (bad)") == ["BAD Asked to"]
    assert echoing.command("ECHO (nothing)") == ["NO [CANNOT] No such word"]
    assert echoing.command("ECHO () x") == ["BAD Unexpected argument at the end of the command"]


def test_two_verbs_of_one_name_are_refused():
    with pytest.raises(ValueError):
        Registry((FEATURE, FEATURE))


def test_a_command_asks_for_lines(echoing):
    echoing.dialog(
        "C: a ECHO (line line)",
        "S: + a line",
        "C: one",
        "S: * ECHO one",
        "S: + a line",
        "C: b NOOP",
        "S: * ECHO b NOOP",
        "S: a OK Completed",
        "C: c NOOP",
        "S: c OK NOOP completed",
    )


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_what_is_pipelined_waits_its_turn(echoing, size):
    data = b"a ECHO {7+}\r\nsev\r\nen\r\nb ECHO (line wait)\r\nx\r\ny\r\nc ECHO {2+}\r\nxx)\r\nd NOOP\r\n"
    for start in range(0, len(data), size):
        echoing.send(data[start : start + size])
    echoing.dialog(
        "S: * ECHO sev/en behind ",
        "S: a OK Completed",
        "S: + a line",
        "S: * ECHO x",
        "S: + waiting",
        "S: * ECHO y",
        "S: b OK Completed",
        "S: * ECHO xx behind )",
        "S: c OK Completed",
        "S: d OK NOOP completed",
    )


def test_a_literal_is_invited_and_never_more_of_it_given_than_was_asked_for(echoing):
    echoing.dialog("C: a ECHO {12}", "S: + go on")
    assert echoing.session.is_mid_command
    echoing.send(b"0123456")
    echoing.dialog("C: 789xy)", "S: * ECHO 0123456789xy behind )", "S: a OK Completed")
    assert not echoing.session.is_mid_command and CLOSED == ["echo"]


def test_who_waits_for_changes_is_told_and_may_be_silent(echoing, mailbox):
    echoing.select().dialog("C: a ECHO (wait)", "S: + waiting")
    session = echoing.session
    assert session.timeout_seconds == 24 * 60 * 60 and session.sign_of_life and not session.is_mid_command
    echoing.notify()
    echoing.dialog("S: * ECHO change")
    mailbox.deliver(MESSAGE)
    echoing.notify()
    echoing.dialog(
        "S: * ECHO change", "C: DONE", "S: * ECHO DONE", "S: * 1 EXISTS", "S: * 1 RECENT", "S: a OK Completed"
    )
    assert session.timeout_seconds == 30 * 60 and not session.sign_of_life


@pytest.mark.parametrize("sent", [b"a ECHO (line)\r\n", b"a ECHO {9+}\r\nxy", b"a ECHO (wait)\r\nb", b"a ECHO {1}\r\n"])
def test_a_command_that_stands_is_closed_with_the_connection(echoing, sent):
    echoing.send(sent)
    assert not CLOSED
    echoing.run(echoing.session.abandon())
    assert CLOSED == ["echo"] and echoing.session.closed


def test_a_line_that_was_asked_for_has_its_limit(echoing):
    echoing.send(b"a ECHO (line)\r\n" + b"x" * 9000)
    assert echoing.take() == b"+ a line\r\n* BYE A line is too long\r\n"
    assert echoing.session.closed


def test_a_literal_in_a_line_that_was_asked_for_ends_the_session(echoing):
    """What it holds is on its way, and must not be run as commands."""
    echoing.send(b"a ECHO (line)\r\nx {8+}\r\nb NOOP\r\n\r\nc NOOP\r\n")
    assert echoing.take() == b"+ a line\r\n* ECHO x {8+}\r\na OK Completed\r\n* BYE A literal can't stand here\r\n"
    assert echoing.session.closed


def test_a_bug_behind_a_question_is_answered(echoing, caplog):
    echoing.dialog("C: a ECHO (line bug)", "S: + a line", "C: x", "S: * ECHO x", "S: a NO [SERVERBUG] *")
    assert "ZeroDivisionError" in caplog.text
    echoing.dialog("C: b ECHO (line bye)", "S: + a line", "C: x", "S: * ECHO x", "S: * BYE Enough")
    assert echoing.session.closed
