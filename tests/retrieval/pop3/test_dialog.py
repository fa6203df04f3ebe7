import asyncio
from base64 import b64encode

import pytest

from retrieval.pop3 import session
from retrieval.pop3.commands import COMMANDS
from retrieval.pop3.context import Pop3Limits, State
from retrieval.pop3.maildrop import unique_id_text

PLAIN = b64encode(b"\0ann@example.org\0secret").decode()


def test_whole_session(dialog, store):
    dialog(
        "C: USER ann@example.org", "S: +OK send PASS", "C: PASS secret", "S: +OK maildrop has 2 messages (79 octets)"
    )
    dialog("C: STAT", "S: +OK 2 79")
    dialog("C: LIST", "S: +OK 2 messages", "S: 1 52", "S: 2 27", "S: .", "C: LIST 2", "S: +OK 2 27")
    dialog("C: UIDL", "S: +OK unique-ids follow", "S: 1 b", "S: 2 c", "S: .", "C: UIDL 1", "S: +OK 1 b")
    dialog("C: RETR 1", "S: +OK 52 octets", "S: Subject: one", "S: ", "S: first line", "S: ..dot", "S: ...two dots")
    dialog("S: last", "S: .", "C: NOOP", "S: +OK")
    dialog("C: RETR 2", "S: +OK 27 octets", "S: Subject: two", "S: ", "S: no line end", "S: .")
    dialog("C: DELE 1", "S: +OK message 1 deleted", "C: STAT", "S: +OK 1 27", "C: RETR 1", "S: -ERR no such message")
    dialog("C: LIST", "S: +OK 1 messages", "S: 2 27", "S: .", "C: DELE 1", "S: -ERR no such message")
    assert len(store.messages) == 2 and store.fetched == [11, 12]
    dialog("C: QUIT", "S: +OK mail.example.org POP3 signing off")
    assert list(store.messages) == [12] and store.lease is None and dialog.session.closed


def test_reset_takes_marks_back(opened, store):
    opened("C: DELE 1", "S: +OK…", "C: DELE 2", "S: +OK…", "C: STAT", "S: +OK 0 0", "C: RSET", "S: +OK…")
    opened("C: STAT", "S: +OK 2 79", "C: QUIT", "S: +OK…")
    assert len(store.messages) == 2


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (0, []),
        (1, ["first line"]),
        (2, ["first line", "..dot"]),
        (99, ["first line", "..dot", "...two dots", "last"]),
        (2**31 - 1, ["first line", "..dot", "...two dots", "last"]),
    ],
)
def test_top(opened, lines, body):
    opened(f"C: TOP 1 {lines}", "S: +OK 52 octets", "S: Subject: one", "S: ", *(f"S: {line}" for line in body), "S: .")
    assert opened.output == b""


@pytest.mark.parametrize(("command", "fetched"), [("RETR 1", [11]), ("TOP 1 1", [11]), ("TOP 1 0", []), ("LIST 1", [])])
def test_what_reads_more_than_headers_counts_as_fetched(opened, store, command, fetched):
    opened(f"C: {command}")
    assert store.fetched == fetched


def test_failed_login_stays_in_authorization(dialog):
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS wrong", "S: -ERR [AUTH] wrong mailbox or password")
    dialog("C: STAT", "S: -ERR STAT not valid in AUTHORIZATION state")
    dialog("C: PASS secret", "S: -ERR say USER first")
    dialog(
        "C: USER nobody@example.org", "S: +OK send PASS", "C: PASS secret", "S: -ERR [AUTH] wrong mailbox or password"
    )


def test_too_many_failed_logins_end_the_session(dialog):
    for _ in range(3):
        assert not dialog.session.closed
        dialog("C: USER ann@example.org", "S: +OK…", "C: PASS wrong", "S: -ERR [AUTH]…")
    assert dialog.session.closed


@pytest.mark.parametrize(
    ("reason", "code"),
    [("throttled", "LOGIN-DELAY"), ("suspended", "SYS/PERM"), ("unavailable", "SYS/TEMP"), ("wrong", "AUTH")],
)
def test_reason_of_a_refused_login_is_a_response_code(dialog, directory, reason, code):
    directory.reason = reason
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS wrong", f"S: -ERR [{code}]…")


def test_second_session_is_locked_out_until_the_first_ends(connect, opened):
    other = connect()
    other("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: -ERR [IN-USE] another session…")
    opened("C: QUIT", "S: +OK…")
    other("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: +OK…")


def test_auth_plain(connect):
    connect()(f"C: AUTH PLAIN {PLAIN}", "S: +OK maildrop has 2 messages (79 octets)")


def test_auth_plain_without_initial_response(dialog):
    dialog("C: AUTH plain", "S: + ", f"C: {PLAIN}", "S: +OK maildrop…")


def test_auth_as_oneself_in_another_case(connect):
    plain = b64encode(b"Ann@Example.ORG\0ann@example.org\0secret").decode()
    connect()(f"C: AUTH PLAIN {plain}", "S: +OK maildrop…")


def test_spaces_are_taken_where_there_is_one(connect, opened):
    opened("C: TOP  1  0 ", "S: +OK…", "S: Subject: one", "S: ", "S: .")
    opened("C: LIST  1 ", "S: +OK 1 …", "C: DELE  1", "S: +OK message 1 deleted", "C: QUIT", "S: +OK…")
    connect()(f"C: AUTH  PLAIN  {PLAIN} ", "S: +OK maildrop…")


def test_auth_given_up(dialog):
    dialog("C: AUTH PLAIN", "S: + ", "C: *", "S: -ERR AUTH given up", "C: AUTH", "S: +OK…", "S: PLAIN", "S: .")


def test_auth_malformed(dialog):
    dialog("C: AUTH PLAIN ===", "S: -ERR the response is not base64", "C: AUTH CRAM-MD5", "S: -ERR the only…")
    other = b64encode(b"bob@example.org\0ann@example.org\0secret").decode()
    dialog(f"C: AUTH PLAIN {other}", "S: -ERR [AUTH] nobody may act…", "C: AUTH PLAIN", "S: + ")
    dialog("C: " + "A" * 4000, "S: -ERR the line is longer…", f"C: AUTH PLAIN {PLAIN}", "S: +OK…")


def test_no_password_in_clear_text(connect):
    dialog = connect(tls_active=False)
    for line in ("USER ann@example.org", "PASS secret", f"AUTH PLAIN {PLAIN}"):
        verb = line.split()[0]
        dialog(f"C: {line}", f"S: -ERR {verb} is possible only under TLS; say STLS first")
    connect(tls_active=False, starttls_available=False)("C: USER ann", "S: -ERR USER is possible only under TLS; use…")


def test_capabilities_before_and_after_tls(connect):
    common = ["S: TOP", "S: UIDL", "S: PIPELINING", "S: RESP-CODES", "S: AUTH-RESP-CODE", "S: EXPIRE NEVER"]
    dialog = connect(tls_active=False)
    dialog("C: CAPA", "S: +OK capabilities follow", *common, "S: STLS", "S: IMPLEMENTATION Mailsuite", "S: .")
    dialog("C: STLS", "S: +OK begin TLS now")
    assert dialog.session.wants_starttls
    dialog.session.tls_started()
    dialog("C: CAPA", "S: +OK…", *common, "S: USER", "S: SASL PLAIN", "S: IMPLEMENTATION Mailsuite", "S: .")
    dialog("C: STLS", "S: -ERR TLS is active already")


def test_what_is_pipelined_behind_stls_is_thrown_away(connect):
    dialog = connect(tls_active=False)
    dialog.send(b"STLS\r\nCAPA\r\nQUIT\r\nUSER a")
    dialog("S: +OK begin TLS now")
    dialog.send(b"nn\r\n")
    assert dialog.output == b""
    dialog.session.tls_started()
    dialog("C: USER ann@example.org", "S: +OK send PASS")


def test_pipelined_commands_are_answered_in_order(dialog):
    dialog.send(b"USER ann@example.org\r\nPASS secret\r\nSTAT\r\nRETR 2\r\nTOP 1 0\r\nQUIT\r\nNOOP\r\n")
    dialog("S: +OK send PASS", "S: +OK maildrop…", "S: +OK 2 79", "S: +OK 27 octets", "S: Subject: two", "S: ")
    dialog("S: no line end", "S: .", "S: +OK 52 octets", "S: Subject: one", "S: ", "S: .", "S: +OK mail.example.org…")
    assert dialog.output == b""


def test_session_cut_at_every_octet(connect):
    octets = b"USER ann@example.org\r\nPASS secret\r\nDELE 1\r\nRSET\r\nLIST\r\nRETR 2\r\nQUIT\r\n"
    whole = connect()
    whole.send(octets)
    for size in (1, 2, 3, 7):
        dialog = connect()
        for at in range(0, len(octets), size):
            dialog.send(octets[at : at + size])
        assert dialog.output == whole.output


def test_message_that_imap_removed_is_served_and_counted(opened, store):
    store.expunge(11)
    opened("C: STAT", "S: +OK 2 79", "C: LIST 1", "S: +OK 1 52", "C: UIDL 1", "S: +OK 1 b")
    opened("C: TOP 1 0", "S: +OK 52 octets", "S: Subject: one", "S: ", "S: .")
    opened("C: RETR 1", "S: +OK 52 octets", "S: Subject: one", "S: ", "S: first line", "S: ..dot", "S: ...two dots")
    opened("S: last", "S: .", "C: DELE 1", "S: +OK…", "C: QUIT", "S: +OK…")
    assert list(store.messages) == [12]


def test_message_that_imap_removed_is_refused_once_the_lock_is_lost(opened, store):
    del store.messages[11]
    opened("C: STAT", "S: +OK 2 79", "C: RETR 1", "S: -ERR this session has lost its lock, and that message…")
    opened("C: TOP 1 0", "S: -ERR this session…", "C: RETR 2", "S: +OK 27 octets")


def test_what_comes_after_the_lock_was_taken_is_not_shown(dialog, store):
    store.uid_next = 12
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: +OK maildrop has 1 messages (52 octets)")


def test_quit_that_fails_removes_nothing(opened, store):
    opened("C: DELE 1", "S: +OK…")
    store.broken = True
    opened("C: QUIT", "S: -ERR [SYS/TEMP] not all deleted messages could be removed…")
    assert len(store.messages) == 2 and opened.session.closed


def test_quit_after_the_lock_was_lost_removes_nothing(opened, store):
    opened("C: DELE 1", "S: +OK…")
    store.lease = "another"
    opened("C: QUIT", "S: -ERR [SYS/TEMP]…")
    assert len(store.messages) == 2


def test_end_of_stream_removes_nothing(opened, store):
    opened("C: DELE 1", "S: +OK…")
    opened.send(b"")
    assert opened.session.closed and len(store.messages) == 2


def test_store_away_is_temporary(dialog, opened, store):
    store.broken = True
    opened("C: RETR 1", "S: -ERR [SYS/TEMP] the message can't be read now; try again later", "C: NOOP", "S: +OK")


def test_store_away_at_login_is_temporary_and_leaves_no_lock(dialog, store):
    store.broken = True
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: -ERR [SYS/TEMP]…")
    assert store.lease is None


def test_inbox_with_too_many_messages_is_refused_with_advice(dialog, store, monkeypatch):
    monkeypatch.setattr(session, "MAX_MESSAGES", 1)
    dialog(
        "C: USER ann@example.org",
        "S: +OK…",
        "C: PASS secret",
        "S: -ERR [SYS/PERM] service unavailable: too many messages in the inbox…",
    )
    assert store.lease is None


def test_lock_whose_answer_is_lost_is_given_back(dialog, store):
    store.answer_is_lost = True
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: -ERR [SYS/TEMP]…")
    assert store.lease is None


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("FOO", "unknown command"),
        ("", "unknown command"),
        ("USER", "USER takes the name of a mailbox"),
        ("STLS", "TLS is active already"),
        ("USER a\0b", "the line holds a NUL"),
        ("X" * 2100, "the line is longer than 2048 octets"),
        ("APOP ann c4c9334bac560ecc979e58001b3e22fb", "unknown command"),
    ],
)
def test_abuse_before_login(dialog, line, answer):
    dialog(f"C: {line}", f"S: -ERR {answer}", "C: USER ann@example.org", "S: +OK send PASS")


@pytest.mark.parametrize("number", ["", "0", "3", "-1", "1e1", "²", "9" * 30, "1 1"])
@pytest.mark.parametrize("verb", ["RETR", "DELE"])
def test_abuse_of_message_numbers(opened, verb, number):
    opened(f"C: {verb} {number}", "S: -ERR…", "C: STAT", "S: +OK 2 79")


def test_octets_that_are_no_text(dialog):
    dialog.send(b"APOP \xff\xfe\r\n\x00\x16\x03\x01\r\n")
    dialog("S: -ERR the line is not UTF-8", "S: -ERR…", "C: USER ann@example.org", "S: +OK send PASS")


def test_too_many_errors_end_the_session(connect):
    dialog = connect(limits=Pop3Limits(errors=3))
    dialog.send(b"FOO\r\n" * 10)
    dialog(*["S: -ERR unknown command"] * 3, "S: -ERR too many errors")
    assert dialog.session.closed and dialog.output == b""


def test_output_of_pipelined_commands_is_not_gathered_in_memory(opened):
    opened.session.receive_data(b"LIST\r\n" * 10_000)
    largest = []

    async def run():
        async for chunk in opened.session.run_ready():
            largest.append(len(chunk))

    asyncio.run(run())
    assert max(largest) < 70_000


def test_long_listings_are_said_in_pieces_and_in_order(connect, store):
    store.messages = dict.fromkeys(range(1, 10_001), b"x\r\n")
    store.uid_next = 10_001
    dialog = connect()
    dialog("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: +OK maildrop has 10000 messages…")
    dialog.session.receive_data(b"DELE 2\r\nLIST\r\nSTAT\r\nUIDL\r\nNOOP\r\n")
    pieces = []

    async def run():
        async for chunk in dialog.session.run_ready():
            pieces.append(chunk)

    asyncio.run(run())
    assert max(map(len, pieces)) < 90_000
    numbers = [1, *range(3, 10_001)]
    expected = ["+OK message 2 deleted", "+OK 9999 messages", *(f"{number} 3" for number in numbers), "."]
    expected += ["+OK 9999 29997", "+OK unique-ids follow", *(f"{n} {unique_id_text(n)}" for n in numbers), ".", "+OK"]
    assert b"".join(pieces).decode().split("\r\n") == [*expected, ""]


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_is_answered_in_its_states_alone(connect, verb):
    for state in (State.AUTHORIZATION, State.TRANSACTION):
        client = connect()
        if state is State.TRANSACTION:
            client("C: USER ann@example.org", "S: +OK…", "C: PASS secret", "S: +OK…")
        client.send(f"{verb} 1 1\r\n".encode())
        refused = client.output == f"-ERR {verb} not valid in {state.name} state\r\n".encode()
        assert refused is (state not in COMMANDS[verb].states) and client.output
