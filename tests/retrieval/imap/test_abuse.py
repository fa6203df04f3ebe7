"""Clients that break the rules: each gets a clear word, costs little, and the session goes on or ends as it should."""

import random

import pytest

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"", b"* BAD Expected a tag"),
        (b"a", b"a BAD Expected a space"),
        (b"a ", b"a BAD Expected a space"),
        (b" NOOP", b"* BAD Expected a tag"),
        (b"+ NOOP", b"* BAD Expected a tag"),
        (b"a NOOP x", b"a BAD Unexpected argument at the end of the command"),
        (b"a BOGUS", b"a BAD Unknown command"),
        (b"a UID", b"a BAD Expected a space"),
        (b"a UID NOOP", b"a BAD Unknown command"),
        (b"a FETCH 1 FLAGS", b"a BAD FETCH is not valid in authenticated state"),
        (b"a LOGIN x y", b"a BAD LOGIN is not valid in authenticated state"),
        (b"a STARTTLS", b"a BAD STARTTLS is not valid in authenticated state"),
        (b"a NOOP\0", b"a BAD A command can't hold NUL or bare CR"),
        (b"a NO\rOP", b"a BAD A command can't hold NUL or bare CR"),
        (b"a \xff", b"a BAD Expected an atom"),
        (b"(" * 60_000, b"* BAD Expected a tag"),
        (b"a LIST " + b"(" * 60_000, b"a BAD Expected a string"),
        (b'a LIST "" ' + b'"' + b"\\\\" * 30_000, b"a BAD Expected a string"),
        (b"a STATUS INBOX " + b"(" * 60_000, b"a BAD Expected an atom"),
        (b"GET / HTTP/1.1", b"GET BAD Unknown command"),
    ],
    ids=range(20),
)
def test_a_bad_line_is_answered_and_survived(client, line, answer):
    client.send(line + b"\r\nb NOOP\r\n")
    said = client.take()
    assert said == answer + b"\r\nb OK NOOP completed\r\n"


def test_bare_lf_ends_a_line_and_spaces_behind_are_passed_over(client):
    client.send(b"a NOOP\nb NOOP  \r\n")
    assert client.take() == b"a OK NOOP completed\r\nb OK NOOP completed\r\n"


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_line_without_end_closes(connect, logged_in):
    client = connect()
    if logged_in:
        client.log_in()
    client.take()
    limit = 64 * 1024 if logged_in else 8 * 1024
    for _ in range(limit // 1024):
        client.send(b"x" * 1024)
    assert not client.said
    client.send(b"x" * 1024)
    assert client.take() == b"* BYE A line is too long\r\n"
    assert client.session.closed


def test_a_command_of_many_literals_is_bounded(client):
    client.send(b"a SEARCH " + b"SUBJECT {60000+}\r\n" + b"x" * 60_000)
    for _ in range(3):
        client.send(b" SUBJECT {60000+}\r\n" + b"x" * 60_000)
    assert not client.said
    client.send(b" SUBJECT {60000+}\r\n")
    client.dialog("S: a BAD A literal is too large here", "S: * BYE A literal is too large")


@pytest.mark.parametrize(("logged_in", "limit"), [(False, 4096), (True, 65536)])
def test_a_literal_past_its_bound(connect, logged_in, limit):
    client = connect()
    if logged_in:
        client.log_in()
    client.take()
    client.dialog(
        f"C: a LOGIN {{{limit + 1}}}",
        "S: a BAD A literal is too large here",
        "C: b NOOP",
        "S: b OK NOOP completed",
        f"C: c LOGIN {{{limit}}}",
        "S: + OK",
    )
    client.send(b"x" * limit + b"\r\n")
    client.take()
    client.dialog(
        "C: d SELECT {99999999999999999999+}",
        "S: d BAD A literal is too large here",
        "S: * BYE A literal is too large",
    )
    assert client.session.closed


def test_a_dirty_line_that_announces_octets_closes(client):
    client.send(b"a LIST \0 {5+}\r\nb NOO")
    assert client.take() == b"a BAD A literal is too large here\r\n* BYE A literal is too large\r\n"


def test_too_many_bad_commands_end_the_session(connect):
    client = connect(bad_commands=3)
    client.take()
    client.send(b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
    assert client.take().endswith(b"RCPT BAD Unknown command\r\n* BYE Too many bad commands\r\n")
    assert client.session.closed


def test_bad_commands_among_good_ones_are_forgiven(connect):
    client = connect(bad_commands=3).log_in()
    for _ in range(5):
        client.dialog("C: a BOGUS", "S: a BAD *", "C: b BOGUS", "S: b BAD *", "C: c NOOP", "S: c OK *")


def test_nothing_runs_after_logout(client, mailbox):
    client.send(b"a LOGOUT\r\nb CREATE Late\r\n")
    assert client.take() == b"* BYE Logging out\r\na OK LOGOUT completed\r\n"
    client.send(b"c CREATE Late\r\n")
    assert not client.said and "Late" not in mailbox.folders


def test_the_end_of_the_stream_ends_the_session_after_what_is_complete(client):
    client.session.receive_data(b"a NOOP\r\nb NOO")
    client.send(b"")
    assert client.take() == b"a OK NOOP completed\r\n"
    assert client.session.closed


def test_a_bug_while_new_mail_is_claimed_ends_idle_and_not_the_session(client, mailbox, monkeypatch):
    async def bug(folder_id):
        raise ZeroDivisionError

    client.select()
    monkeypatch.setattr(client.session.mail_store, "claim_recent", bug)
    client.dialog("C: a IDLE", "S: + Idling")
    mailbox.deliver(MESSAGE)
    client.notify()
    client.dialog("S: * 1 EXISTS", "S: * 1 RECENT", "C: DONE", "S: a NO [SERVERBUG] *")
    mailbox.deliver(MESSAGE)
    client.dialog("C: b IDLE", "S: b NO [SERVERBUG] *", "C: c CAPABILITY", "S: * CAPABILITY *", "S: c OK Completed")
    assert not client.session.closed


def test_a_bug_is_answered_as_ours(client, monkeypatch, caplog):
    async def bug():
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(client.session.mail_store, "folders", bug)
    client.dialog(
        'C: a LIST "" *',
        "S: a NO [SERVERBUG] An error of ours, logged as s1.1",
        "C: b NOOP",
        "S: b OK NOOP completed",
    )
    assert "s1.1" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_dialog_cut_at_every_octet_goes_the_same_way(connect, mailbox):
    mailbox.deliver(MESSAGE)
    mailbox.folders["INBOX"].recent_uid = 9
    script = (
        b"a LOGIN {15}\r\nann@example.org {6+}\r\nsecret\r\n"
        b'b SELECT "INBOX"\r\n'
        b"c FETCH 1 (UID BODY.PEEK[])\r\n"
        b"d UID SEARCH SUBJECT {1}\r\nx ALL\r\n"
        b"e BOGUS {3+}\r\nabc\r\n"
        b"f IDLE\r\nDONE\r\n"
        b"g AUTHENTICATE PLAIN\r\n"
        b"h LOGOUT\r\n"
    )
    whole, cut = connect(), connect()
    whole.send(script)
    for octet in script:
        cut.send(bytes([octet]))
    assert whole.take() == cut.take()
    assert whole.session.closed and cut.session.closed


COMMANDS = [
    b"LOGIN ann@example.org secret",
    b"SELECT INBOX",
    b'LIST "" "%/*"',
    b'LSUB "" *',
    b"STATUS INBOX (MESSAGES UNSEEN)",
    b'APPEND INBOX (\\Seen $x) "01-Feb-2026 00:00:00 +0100" {4+}\r\ntext',
    b"CREATE a/b (USE (\\Junk))",
    b"RENAME a/b c&APw-",
    b'FETCH 1:2,* (FLAGS UID BODY.PEEK[1.2.HEADER.FIELDS (To "From")]<0.10> BODY[TEXT] ENVELOPE)',
    b"FETCH 1 ALL",
    b"UID FETCH 1:* (FLAGS)",
    b'SEARCH OR (SEEN NOT 1:2) HEADER "X" {1+}\r\ny SINCE 1-Feb-2026 LARGER 5',
    b"UID SEARCH CHARSET UTF-8 SUBJECT x UNKEYWORD $x",
    b"STORE 1 +FLAGS.SILENT (\\Deleted $x)",
    b"UID STORE 1:* -FLAGS \\Seen",
    b"COPY 1 Trash",
    b"UID MOVE 2 Trash",
    b"EXPUNGE",
    b"UID EXPUNGE 1:3",
    b"IDLE\r\nDONE",
    b'ID ("name" "x")',
    b"ENABLE X",
    b"AUTHENTICATE PLAIN =",
    b"CLOSE",
    b"NOOP",
]


@pytest.mark.parametrize("seed", range(20))
def test_mangled_commands_find_no_bug(connect, mailbox, seed, caplog):
    """Commands cut, doubled and sprinkled with special octets: always answered, and no bug of ours."""
    draw = random.Random(seed)
    for _ in range(3):
        mailbox.deliver(MESSAGE)
    for _ in range(10):
        client = connect(bad_commands=10_000, failed_logins=10_000).log_in()
        client.send(b"s SELECT INBOX\r\n")
        for _ in range(40):
            line = bytearray(b"t " + draw.choice(COMMANDS))
            for _ in range(draw.choice([0, 1, 1, 2, 5])):
                at = draw.randrange(len(line))
                match draw.randrange(4):
                    case 0:
                        del line[at : at + draw.randint(1, 4)]
                    case 1:
                        line[at:at] = draw.choice(
                            [b"(", b")", b'"', b"\\", b"{3}", b"{2+}\r\n", b" ", b"*", b"\0", b"\xff", b"%"]
                        )
                    case 2:
                        line[at:at] = line[at : at + 10]
                    case _:
                        line[at] = draw.randrange(256)
                line = line or bytearray(b"t")
            client.send(bytes(line) + b"\r\n")
            assert b"SERVERBUG" not in client.take(), (line, caplog.text)
            if client.session.closed:
                break
        client.run(client.session.abandon())
    assert not mailbox.spools
