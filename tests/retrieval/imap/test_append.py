"""APPEND: the message streams into a spool; refusals come before or after it, and leave nothing behind."""

from datetime import UTC, datetime

import pytest

from mailsuite.store.flags import DRAFT, SEEN

MESSAGE = b"Subject: x\r\n\r\ntext\0with {5} NUL\r\n"


def test_append_with_flags_and_date(client, mailbox):
    validity = mailbox.folders["Drafts"].uid_validity
    client.dialog(
        f'C: a APPEND drafts (\\Seen $Mine \\Draft) " 1-Feb-2026 02:00:00 +0130" {{{len(MESSAGE)}}}',
        "S: a NO [TRYCREATE] *",
        f'C: b APPEND Drafts (\\Seen $Mine \\Draft) " 1-Feb-2026 02:00:00 +0130" {{{len(MESSAGE)}}}',
        "S: + OK",
        f"C: {MESSAGE.decode()}",
        f"S: b OK [APPENDUID {validity} 1] APPEND completed",
    )
    (message,) = mailbox.folders["Drafts"].messages.values()
    assert message.octets == MESSAGE
    assert (message.flags, message.keywords) == (SEEN | DRAFT, "$Mine")
    assert message.internal_date == datetime(2026, 2, 1, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "command",
    [
        b"a APPEND Drafts {%d+}\r\n" % len(MESSAGE),
        b'a append "Drafts" () {%d+}\r\n' % len(MESSAGE),
        b"a APPEND {6+}\r\nDrafts (\\Seen) {%d+}\r\n" % len(MESSAGE),
    ],
)
def test_append_however_it_is_cut(connect, mailbox, command):
    data = command + MESSAGE + b"\r\nb NOOP\r\n"
    for size in (len(data), 1, 7):
        client = connect().log_in()
        for start in range(0, len(data), size):
            client.send(data[start : start + size])
        first, second, rest = client.take().split(b"\r\n")
        assert first.startswith(b"a OK [APPENDUID ") and second == b"b OK NOOP completed" and not rest
    assert [message.octets for message in mailbox.folders["Drafts"].messages.values()] == [MESSAGE] * 3
    assert not mailbox.spools


def test_append_to_the_selected_folder_is_told(client):
    client.select()
    client.dialog("C: a APPEND INBOX {4+}\r\ntext", "S: * 1 EXISTS", "S: * 1 RECENT", "S: a OK [APPENDUID * 1] *")


def test_a_large_message_is_never_held(client, mailbox):
    client.send(b"a APPEND INBOX {3000000+}\r\n")
    for _ in range(30):
        client.send(b"x" * 100_000)
        (spool,) = mailbox.spools
        assert not len(client.session._reader._buffer)
    assert sum(map(len, spool.chunks)) == 3_000_000
    client.send(b"\r\n")
    assert client.take().startswith(b"a OK [APPENDUID ")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("APPEND Nowhere {%d%s}", "NO [TRYCREATE] There is no such folder"),
        ("APPEND a&b {%d%s}", "NO [CANNOT] Folder name is not valid modified UTF-7: *"),
        ("APPEND INBOX (%s) {%%d%%s}" % ("k" * 2001), "NO [LIMIT] *"),
    ],
)
def test_a_refused_message_is_not_asked_for_or_dropped(client, mailbox, command, answer):
    client.dialog(f"C: a {command % (100_000, '')}", f"S: a {answer}", "C: b NOOP", "S: b OK *")
    client.send(f"c {command % (100_000, '+')}\r\n".encode() + b"x" * 60_000)
    assert not client.said
    client.send(b"x" * 40_000 + b"\r\n")
    client.dialog(f"S: c {answer}", "C: d NOOP", "S: d OK *")
    assert not mailbox.spools


def test_too_large_a_message(connect):
    client = connect(message_octets=1000).log_in()
    client.dialog(
        "C: a APPEND INBOX {1001}",
        "S: a NO [TOOBIG] A message may have 1000 octets",
        f"C: b APPEND INBOX {{1001+}}\r\n{'x' * 1001}",
        "S: b NO [TOOBIG] A message may have 1000 octets",
        "C: s STATUS INBOX (APPENDLIMIT)",
        'S: * STATUS "INBOX" (APPENDLIMIT 1000)',
        "S: s OK Completed",
        "C: c APPEND INBOX {0}",
        "S: c NO [CANNOT] A message has at least one octet",
    )


def test_a_full_mailbox(client, mailbox):
    mailbox.quota_octets = 10
    client.dialog("C: a APPEND INBOX {11+}\r\nhello world", "S: a NO [OVERQUOTA] The mailbox is full")
    assert not mailbox.spools


@pytest.mark.parametrize(
    "command",
    [
        "APPEND INBOX (\\Nothing) {4+}\r\ntext",
        'APPEND INBOX "31-Feb-2026 00:00:00 +0000" {4+}\r\ntext',
        "APPEND INBOX (a {4+}\r\ntext",
        "APPEND INBOX {4+}\r\ntext more",
        'APPEND INBOX "text"',
        "APPEND INBOX",
        "APPEND INBOX text",
        "APPEND {4+}\r\ntext",
    ],
)
def test_what_is_no_append(client, mailbox, command):
    assert client.command(command)[0].startswith("BAD ")
    assert client.command("NOOP") == ["OK NOOP completed"]
    assert not mailbox.spools and not mailbox.folders["INBOX"].messages


def test_a_second_message_behind_the_first_is_not_run_as_commands(client, mailbox):
    client.send(b"a APPEND INBOX {4+}\r\ntext {18+}\r\nb DELETE Archive\r\n\r\n")
    client.dialog("S: a BAD Unexpected argument after the message", "S: * BYE A literal can't stand here")
    assert client.session.closed and "Archive" in mailbox.folders


def test_a_large_literal_of_a_broken_append_is_dropped(client):
    client.dialog(
        "C: a APPEND INBOX (\\Nothing) {100000}",
        "S: a BAD No such system flag",
        f"C: b APPEND INBOX (\\Nothing) {{100000+}}\r\n{'x' * 100_000}",
        "S: b BAD No such system flag",
        "C: c NOOP",
        "S: c OK NOOP completed",
    )


def test_a_client_that_goes_away_leaves_no_spool(client, mailbox):
    client.send(b"a APPEND INBOX {1000}\r\n")
    client.send(b"half of it")
    assert mailbox.spools
    client.send(b"")
    assert client.session.closed
    client.run(client.session.abandon())
    assert not mailbox.spools


def test_a_store_that_goes_away_amid_the_message(client, mailbox):
    client.send(b"a APPEND INBOX {20+}\r\n0123456789")
    mailbox.unavailable = True
    client.send(b"0123456789\r\n")
    client.dialog("S: a NO [UNAVAILABLE] *")
    assert not mailbox.spools


def test_a_message_that_is_much_too_large_is_not_awaited(connect, mailbox):
    """Ten gigabytes on their way were swallowed without a word."""
    client = connect().log_in()
    client.send(b"a APPEND INBOX {10000000000+}\r\n" + b"x" * 1000)
    client.dialog("S: a NO [TOOBIG] A message may have 52428800 octets", "S: * BYE A literal is too large")
    assert client.session.closed and not mailbox.spools
    client = connect(dropped_octets=2000).log_in()
    client.send(b"a APPEND Nowhere {2001+}\r\n" + b"x" * 2001 + b"\r\n")
    assert client.take().startswith(b"a NO [TRYCREATE]") and not client.session.closed


WRAPPED = [
    MESSAGE,
    b")",
    b"UTF8 ()",
    b"Subject: ends in )\r\n\r\n)",
    b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 10_000,
]


@pytest.mark.parametrize("message", WRAPPED, ids=range(len(WRAPPED)))
@pytest.mark.parametrize("plus", ["", "+"])
def test_imaplib_wraps_messages_once_it_has_asked_for_utf8(connect, mailbox, message, plus):
    for size in (1, 3, 10**6) if len(message) < 100 else (10**4,):
        client = connect().log_in()
        client.dialog("C: a ENABLE utf8=accept", "S: * ENABLED", "S: a OK Completed")
        literal = b"UTF8 (%b)" % message
        client.send(b"b APPEND INBOX {%d%b}\r\n" % (len(literal), plus.encode()))
        assert client.take() == (b"" if plus else b"+ OK\r\n")
        for start in range(0, len(literal), size):
            client.send(literal[start : start + size])
        client.send(b"\r\n")
        assert client.take().startswith(b"b OK [APPENDUID")
    assert {stored.octets for stored in mailbox.folders["INBOX"].messages.values()} == {message}
    assert not mailbox.spools


@pytest.mark.parametrize("message", [MESSAGE, b"UTF", b"U", b"UTF8 X", b"(UTF8 (x)"])
def test_what_is_not_wrapped_passes_as_it_is(connect, mailbox, message):
    client = connect().log_in()
    client.command("ENABLE UTF8=ACCEPT")
    client.send(b"b APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message))
    assert client.take().startswith(b"b OK")
    assert [stored.octets for stored in mailbox.folders["INBOX"].messages.values()] == [message]


@pytest.mark.parametrize(
    ("literal", "code"), [(b"UTF8 (no end", b"CANNOT"), (b"UTF8 ()", b"CANNOT"), (b"x" * 33, b"TOOBIG")]
)
def test_a_wrapper_that_does_not_end_or_is_empty(connect, mailbox, literal, code):
    client = connect(message_octets=30).log_in()
    client.command("ENABLE UTF8=ACCEPT")
    client.send(b"b APPEND INBOX {%d+}\r\n%b\r\n" % (len(literal), literal))
    assert client.take().startswith(b"b NO [%b]" % code)
    assert not mailbox.spools and not mailbox.folders["INBOX"].messages
    client.send(b"c APPEND INBOX {37+}\r\nUTF8 (%b)\r\n" % (b"x" * 30))
    assert client.take().startswith(b"c OK")


def test_a_session_that_has_not_asked_keeps_what_looks_wrapped(client, mailbox):
    client.send(b"b APPEND INBOX {9+}\r\nUTF8 (xy)\r\n")
    assert client.take().startswith(b"b OK")
    assert [stored.octets for stored in mailbox.folders["INBOX"].messages.values()] == [b"UTF8 (xy)"]
    assert client.command("APPEND INBOX UTF8 (~{4+}\r\ntext)")[0].startswith("BAD ")


def test_the_frame_around_the_literal(client, mailbox):
    """RFC 6855 §4, and imaplib since Python 3.13.1, whatever ENABLE was answered."""
    client.command("ENABLE UTF8=ACCEPT")
    client.send(b"b APPEND INBOX (\\Seen) UTF8 (~{%d+}\r\n%b)\r\n" % (len(MESSAGE), MESSAGE))
    assert client.take().startswith(b"b OK")
    assert [stored.octets for stored in mailbox.folders["INBOX"].messages.values()] == [MESSAGE]
    client.send(b"c APPEND INBOX UTF8 (~{4+}\r\ntext\r\n")
    assert client.take().startswith(b"c BAD")


def test_the_session_knows_where_the_rest_of_a_command_is_awaited(client, mailbox):
    """Where it is, what came is acknowledged at once."""
    session = client.session
    for octets, is_mid_command in (
        (b"a NOOP\r\n", False),
        (b"b NO", True),
        (b"OP\r\n", False),
        (b"c APPEND Drafts {9}\r\n", True),
        (b"S: x\r\n", True),
        (b"\r\nt", True),
        (b"\r\n", False),
        (b"d STATUS {6}\r\n", True),
        (b"Drafts", True),
        (b" (MESSAGES)\r\n", False),
        (b"e IDLE\r\n", False),
        (b"DONE\r\n", False),
    ):
        client.send(octets)
        assert session.is_mid_command is is_mid_command, octets
