"""Before a mailbox is open: greeting, capabilities, LOGIN, AUTHENTICATE, STARTTLS, LOGOUT."""

from base64 import b64encode

import pytest

PLAIN = b64encode(b"\0ann@example.org\0secret").decode()


def test_greeting_announces_login_under_tls_only(connect):
    connect().dialog(
        "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=LOGIN] mail.example.org ready"
    )
    connect(tls=False).dialog("S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE STARTTLS LOGINDISABLED] *")
    connect(tls=False, starttls=False).dialog(
        "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE LOGINDISABLED] *"
    )


def test_login_and_logout(connect):
    client = connect()
    client.dialog(
        "S: * OK *",
        "C: a1 LOGIN ann@example.org secret",
        "S: a1 OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE "
        "SPECIAL-USE CREATE-SPECIAL-USE APPENDLIMIT=52428800] Logged in",
        "C: a2 LOGOUT",
        "S: * BYE Logging out",
        "S: a2 OK LOGOUT completed",
    )
    assert client.session.closed


@pytest.mark.parametrize(
    ("arguments", "password"),
    [
        (b'"ann@example.org" "secret"', "secret"),
        (b"{15+}\r\nann@example.org {6+}\r\nsecret", "secret"),
        (b'{15+}\r\nann@example.org "s\\"e\\\\t"', 's"e\\t'),
        (b'"ann@example.org" "p\xc3\xa4ss"', "p\xe4ss"),
        (b'"ann@example.org" "p\xe4ss"', "p\xe4ss"),  # Latin-1, as old clients send it
        (b'ann@example.org {1+}\r\n"', '"'),
        (b"ann@example.org {3+}\r\na\r\n", "a\r\n"),
    ],
)
def test_login_takes_every_form_of_a_string(connect, directory, arguments, password):
    command = b"a LOGIN " + arguments + b"\r\n"
    whole, cut = connect(), connect()
    whole.take(), cut.take()
    whole.send(command)
    for octet in command:
        cut.send(bytes([octet]))
    assert directory.asked == [("ann@example.org", password)] * 2
    assert whole.take() == cut.take()


def test_login_refuses_what_is_no_string(connect, directory):
    client = connect()
    client.take()
    for arguments in (
        b"ann p\xc3\xa4",
        b'"ann secret',
        b"ann {3+}\r\na\0b",
        b"ann",
        b"ann secret more",
        b"(ann) secret",
    ):
        client.send(b"a LOGIN " + arguments + b"\r\n")
        assert client.take().startswith(b"a BAD ")
    assert directory.asked == []


def test_synchronizing_literals_are_asked_for_one_by_one(connect):
    connect().dialog(
        "S: * OK *",
        "C: a LOGIN {15}",
        "S: + OK",
        "C- ann@example.org {6}\r\n",
        "S: + OK",
        "C: secret",
        "S: a OK * Logged in",
    )


def test_nobody_logs_in_without_tls(connect, directory):
    connect(tls=False).dialog(
        "S: * OK *",
        "C: a LOGIN ann@example.org secret",
        "S: a NO [PRIVACYREQUIRED] Start TLS first",
        f"C: b AUTHENTICATE PLAIN {PLAIN}",
        "S: b NO [PRIVACYREQUIRED] Start TLS first",
    )
    assert directory.asked == []


def test_starttls_drops_what_came_behind_it_in_clear(connect, directory):
    client = connect(tls=False)
    client.take()
    client.send(b"a STARTTLS\r\nb LOGIN mallory x\r\n")
    client.send(b"c NOOP\r\n")
    assert client.take() == b"a OK Begin TLS now\r\n"
    assert client.session.wants_starttls
    client.session.tls_started()
    client.dialog(
        "C: d CAPABILITY",
        "S: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=LOGIN",
        "S: d OK Completed",
        "C: e STARTTLS",
        "S: e BAD TLS is active already, or not available",
        "C: f LOGIN ann@example.org secret",
        "S: f OK * Logged in",
    )
    assert directory.asked == [("ann@example.org", "secret")]


def test_authenticate_plain_with_and_without_initial_response(connect):
    connect().dialog("S: * OK *", f"C: a AUTHENTICATE PLAIN {PLAIN}", "S: a OK * Logged in")
    connect().dialog("S: * OK *", "C: a authenticate plain", "S: + ", f"C: {PLAIN}", "S: a OK * Logged in")


def test_who_names_the_own_mailbox_in_another_case_acts_as_nobody_else(connect):
    plain = b64encode(b"Ann@Example.ORG\0ann@example.org\0secret").decode()
    connect().dialog("S: * OK *", f"C: a AUTHENTICATE PLAIN {plain}", "S: a OK * Logged in")


def test_authenticate_login(connect):
    connect().dialog(
        "S: * OK *",
        "C: a AUTHENTICATE LOGIN",
        "S: + VXNlcm5hbWU6",
        f"C: {b64encode(b'ann@example.org').decode()}",
        "S: + UGFzc3dvcmQ6",
        f"C: {b64encode(b'secret').decode()}",
        "S: a OK * Logged in",
    )


def test_authenticate_that_goes_wrong(connect):
    other = b64encode(b"bob\0ann@example.org\0secret").decode()
    connect().dialog(
        "S: * OK *",
        "C: a AUTHENTICATE PLAIN",
        "S: + ",
        "C: *",
        "S: a BAD Authentication cancelled",
        "C: b AUTHENTICATE PLAIN",
        "S: + ",
        "C: not base64",
        "S: b BAD the response is not base64",
        "C: c AUTHENTICATE GSSAPI",
        "S: c NO [CANNOT] There is no such mechanism",
        f"C: d AUTHENTICATE PLAIN {other}",
        "S: d NO [AUTHORIZATIONFAILED] Nobody may act as somebody else here",
        "C: e AUTHENTICATE PLAIN =",
        "S: e BAD PLAIN takes *",
        "C: f NOOP",
        "S: f OK NOOP completed",
    )


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("wrong", "a NO [AUTHENTICATIONFAILED] Wrong name or password"),
        ("throttled", "a NO [UNAVAILABLE] Too many failed logins, try again later"),
        ("suspended", "a NO [CONTACTADMIN] This mailbox is suspended"),
        ("unavailable", "a NO [UNAVAILABLE] Logins can't be checked now, try again later"),
    ],
)
def test_a_refused_login_says_why(connect, directory, reason, answer):
    directory.reason = reason
    connect().dialog(
        "S: * OK *", "C: a LOGIN ann@example.org secret", f"S: {answer}", "C: b SELECT INBOX", "S: b BAD *"
    )


def test_too_many_failed_logins_end_the_session(connect):
    client = connect(failed_logins=2)
    client.dialog(
        "S: * OK *",
        "C: a LOGIN ann@example.org wrong",
        "S: a NO [AUTHENTICATIONFAILED] *",
        "C: b LOGIN ann@example.org wrong",
        "S: b NO [AUTHENTICATIONFAILED] *",
        "S: * BYE Too many failed logins",
    )
    assert client.session.closed


def test_id_enable_namespace(client):
    client.dialog(
        'C: a ID ("name" "Test" "version" NIL)',
        'S: * ID ("name" "Mailsuite" "version" "1.0")',
        "S: a OK Completed",
        "C: b ID NIL",
        "S: * ID *",
        "S: b OK Completed",
        "C: c ENABLE CONDSTORE X-NONE",
        "S: * ENABLED",
        "S: c OK Completed",
        "C: d NAMESPACE",
        'S: * NAMESPACE (("" "/")) NIL NIL',
        "S: d OK Completed",
    )


def test_timeouts_follow_the_state(connect):
    client = connect()
    assert client.session.timeout_seconds == 60
    client.log_in()
    assert client.session.timeout_seconds == 1800
    assert client.session.sign_of_life == b""
    client.dialog("C: a IDLE", "S: + Idling")
    assert client.session.timeout_seconds == 24 * 60 * 60
    assert client.session.sign_of_life == b"* OK Still here\r\n"
    client.dialog("C: DONE", "S: a OK IDLE completed")
    assert client.session.timeout_seconds == 1800 and not client.session.sign_of_life


def test_spaces_are_taken_where_there_is_one_and_inside_parentheses(connect):
    """A client library for Python writes `ID ( "name" "x" )`."""
    client = connect()
    client.take()
    for command, answer in (
        ('ID ( "name" "x"  "version" "1.0" )', "OK"),
        ("ID  NIL", "OK"),
        ('ID ("name" x "version" NIL "os" nilsson)', "OK"),
        ("ID ( )", "OK"),
        (f"AUTHENTICATE  PLAIN  {PLAIN}", "OK"),
        ("CREATE  Spam  ( USE  ( \\Junk ) )", "NO [USEATTR]"),
        ("STATUS  INBOX  ( MESSAGES   UNSEEN )", "OK"),
        ('LIST  ""  *', "OK"),
        ("ENABLE  UTF8=ACCEPT  IMAP4rev2", "OK"),
        ("APPEND  INBOX  ( \\Seen )  {15+}\r\nSubject: x\r\n\r\ny  ", "OK"),
        ("SELECT  INBOX", "OK"),
        ("STORE  1  +FLAGS  ( \\Flagged   one )", "OK"),
        ("UID  FETCH  1  ( FLAGS   BODY.PEEK[HEADER.FIELDS ( From   To ) ] )", "OK"),
        ("UID  SEARCH  UID  1", "OK"),
        ("COPY  1  Sent", "OK"),
    ):
        assert client.command(command)[-1].startswith(answer), command
