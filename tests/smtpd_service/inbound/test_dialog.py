"""Dialogs as text: C: is what the client sends, S: what it gets (a code, or the beginning of a reply)."""

import pytest

from mailsuite.mail import reply as replies
from mailsuite.protocol.content import ContentReader
from mailsuite.protocol.sasl import Credentials
from smtpd_service.inbound.commands import KNOWN, LEGAL, State
from smtpd_service.inbound.dialog import DataAsked, Dialog, Terms, TlsAsked
from smtpd_service.inbound.limits import SmtpLimits
from smtpd_service.inbound.parameters import Mail, Rcpt

MX = Terms("mx.example.org", 1000, limits=SmtpLimits(recipients=3))
SUBMISSION = Terms("mx.example.org", 1000, submission=True)
HELLO = ("C: EHLO client.example", "S: 250")


def answered(event):
    """What a directory that knows everybody but nobody@ would say."""
    match event:
        case Mail():
            return replies.SENDER_OK
        case Rcpt(_, path) if str(path).startswith("nobody"):
            return replies.NO_SUCH_MAILBOX
        case Rcpt():
            return replies.RECIPIENT_OK
        case DataAsked():
            return replies.SEND_DATA
        case Credentials(password=password):
            return replies.AUTHENTICATED if password == "right" else replies.AUTH_FAILED
        case TlsAsked():
            return replies.START_TLS


def converse(octets: bytes, terms: Terms = MX, *, tls: bool = False, size: int = 0) -> tuple[Dialog, list[str]]:
    dialog, out, content = Dialog(terms, tls=tls), b"", ContentReader()
    for start in range(0, len(octets), size or len(octets) or 1):
        chunk = octets[start : start + (size or len(octets))]
        if dialog.state is State.CONTENT:
            content.feed(chunk)
        else:
            dialog.receive_data(chunk)
        while content.ended or (event := dialog.next_event()):
            if content.ended:
                dialog.message_answered(replies.OK, content.rest)
                content = ContentReader()
                continue
            dialog.answer(answered(event))
            if isinstance(event, TlsAsked):
                dialog.tls_started()
            if dialog.state is State.CONTENT:
                content.feed(dialog.take_rest())
    out += dialog.data_to_send()
    return dialog, [line for line in out.decode().split("\r\n") if line and line[3] == " "]


def check(*script: str, terms: Terms = MX, tls: bool = False) -> Dialog:
    octets = "".join(line[3:] + "\r\n" for line in script if line.startswith("C: ")).encode()
    expected = [line[3:] for line in script if line.startswith("S: ")]
    for size in (0, 1, 7):
        dialog, got = converse(octets, terms, tls=tls, size=size)
        assert len(got) == len(expected), got
        assert all(one.startswith(start) for one, start in zip(got, expected, strict=True)), (got, expected)
    return dialog


def test_a_message():
    check(
        *HELLO,
        *("C: MAIL FROM:<x@other.example>", "S: 250 2.1.0 "),
        *("C: RCPT TO:<ann@example.org>", "S: 250 2.1.5 "),
        *("C: DATA", "S: 354 ", "C: .", "S: 250 2.0.0 "),
        *("C: QUIT", "S: 221 2.0.0 "),
    )


def test_ehlo_announces_what_there_is():
    dialog = Dialog(MX)
    dialog.receive_data(b"EHLO client.example\r\n")
    assert dialog.next_event() is None
    assert dialog.data_to_send() == (
        b"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
        b"250-SMTPUTF8\r\n250-STARTTLS\r\n250 HELP\r\n"
    )


@pytest.mark.parametrize(
    ("terms", "tls", "present", "absent"),
    [
        (MX, True, "", "STARTTLS"),
        (MX, False, "STARTTLS", "AUTH"),
        (SUBMISSION, False, "STARTTLS", "AUTH"),
        (SUBMISSION, True, "AUTH PLAIN LOGIN", "STARTTLS"),
        (Terms("mx.example.org", 1, starttls=False), False, "", "STARTTLS"),
    ],
)
def test_keywords_follow_the_state(terms, tls, present, absent):
    dialog = Dialog(terms, tls=tls)
    dialog.receive_data(b"EHLO client.example\r\n")
    dialog.next_event()
    out = dialog.data_to_send().decode()
    assert present in out
    assert absent not in out


ORDER = [
    ((), "MAIL FROM:<>", "503 5.5.1 Send EHLO"),
    ((), "RCPT TO:<a@b.example>", "503 5.5.1 Send EHLO"),
    ((), "DATA", "503 5.5.1 Send EHLO"),
    ((), "STARTTLS", "503 5.5.1 Send EHLO"),
    ((), "NOOP", "250 2.0.0 "),
    ((), "RSET", "250 2.0.0 "),
    ((), "VRFY ann", "252 2.5.0 "),
    ((), "HELP", "214 2.0.0 "),
    ((), "QUIT", "221 2.0.0 "),
    (HELLO, "RCPT TO:<a@b.example>", "503 5.5.1 Send MAIL"),
    (HELLO, "DATA", "503 5.5.1 Send MAIL"),
    (HELLO, "EXPN list", "502 5.5.1 "),
    (HELLO, "BDAT 5 LAST", "502 5.5.1 "),
    (HELLO, "AUTH PLAIN AGEAYg==", "502 5.5.1 "),
    (HELLO, "XYZZY", "500 5.5.2 "),
    (HELLO, "", "500 5.5.2 "),
    (HELLO, " MAIL FROM:<>", "500 5.5.2 "),
    (HELLO, "GET / HTTP/1.1", "421 4.7.0 This is a mail server"),
    ((), "POST / HTTP/1.1", "421 4.7.0 This is a mail server"),
    (HELLO, "\x16\x03\x01", "500 5.5.2 "),
    (HELLO, "VRFY", "501 5.5.4 "),
    (HELLO, "STARTTLS now", "501 5.5.4 "),
    (HELLO, "noop anything", "250 2.0.0 "),
]


@pytest.mark.parametrize(("before", "line", "expected"), ORDER)
def test_order(before, line, expected):
    check(*before, f"C: {line}", f"S: {expected}")


MAIL = [
    ("MAIL FROM:<x@other.example>", "250 2.1.0 "),
    ("mail from: <x@other.example>", "250 2.1.0 "),
    ("MAIL FROM:<>", "250 2.1.0 "),
    ("MAIL FROM:<@a.example,@b.example:x@other.example>", "250 2.1.0 "),
    ("MAIL FROM:<x@other.example> SIZE=1000 BODY=8BITMIME", "250 2.1.0 "),
    ("MAIL FROM:<x@other.example> SIZE=0", "250 2.1.0 "),
    ("MAIL FROM:<x@other.example> AUTH=<>", "250 2.1.0 "),
    ("MAIL FROM:<x@other.example> AUTH=e+3Dmc2@example.com", "250 2.1.0 "),
    ("MAIL FROM:<x@other.example> body=7bit", "250 2.1.0 "),
    ("MAIL FROM:<jörg@other.example> SMTPUTF8", "250 2.1.0 "),
    ("MAIL FROM:<jörg@other.example>", "553 5.6.7 "),
    ("MAIL FROM:<x@other.example> SIZE=1001", "552 5.3.4 "),
    ("MAIL FROM:<x@other.example> SIZE=99999999999999999999", "552 5.3.4 "),
    ("MAIL FROM:<x@other.example> SIZE=999999999999999999999", "501 5.5.4 "),
    ("MAIL FROM:<x@other.example> SIZE", "501 5.5.4 "),
    ("MAIL FROM:<x@other.example> SIZE=ten", "501 5.5.4 "),
    ("MAIL FROM:<x@other.example> BODY=BINARYMIME", "501 5.5.4 "),
    ("MAIL FROM:<x@other.example> SMTPUTF8=yes", "555 5.5.4 "),
    ("MAIL FROM:<x@other.example> RET=FULL", "555 5.5.4 "),
    ("MAIL FROM:<x@other.example> SIZE=1 SIZE=2", "501 5.1.7 "),
    ("MAIL FROM:<x@other.example>SIZE=1", "501 5.1.7 "),
    ("MAIL FROM:<postmaster>", "501 5.1.7 "),
    ("MAIL FROM:x@other.example", "501 5.1.7 "),
    ("MAIL FROM:<x@other.example", "501 5.1.7 "),
    ("MAIL FROM:", "501 5.1.7 "),
    ("MAIL", "501 5.5.4 "),
    ("MAIL TO:<x@other.example>", "501 5.5.4 "),
]


@pytest.mark.parametrize(("line", "expected"), MAIL)
def test_mail(line, expected):
    check(*HELLO, f"C: {line}", f"S: {expected}")


RCPT = [
    ("RCPT TO:<ann@example.org>", "250 2.1.5 "),
    ("RCPT TO: <ann@example.org>", "250 2.1.5 "),
    ("rcpt to:<Postmaster>", "250 2.1.5 "),
    ('RCPT TO:<"a b"@example.org>', "250 2.1.5 "),
    ("RCPT TO:<nobody@example.org>", "550 5.1.1 "),
    ("RCPT TO:<>", "501 5.1.3 "),
    ("RCPT TO:<ann@@example.org>", "501 5.1.3 "),
    ("RCPT TO:<ann@example.org> NOTIFY=NEVER", "555 5.5.4 "),
    ("RCPT TO:<jörg@example.org>", "553 5.6.7 "),
    ("RCPT FROM:<ann@example.org>", "501 5.5.4 "),
    ("RCPT", "501 5.5.4 "),
]


@pytest.mark.parametrize(("line", "expected"), RCPT)
def test_rcpt(line, expected):
    check(*HELLO, "C: MAIL FROM:<>", "S: 250", f"C: {line}", f"S: {expected}")


def test_pipelined_batch_with_no_good_recipient():
    check(
        *HELLO,
        *("C: MAIL FROM:<>", "C: RCPT TO:<nobody@example.org>", "C: DATA", "S: 250", "S: 550 5.1.1 ", "S: 554 5.5.1 "),
        *("C: RSET", "S: 250 2.0.0 ", "C: RCPT TO:<ann@example.org>", "S: 503 5.5.1 "),
    )


def test_too_many_recipients():
    rcpt = ("C: RCPT TO:<ann@example.org>", "S: 250")
    check(*HELLO, "C: MAIL FROM:<>", "S: 250", *rcpt, *rcpt, *rcpt, "C: RCPT TO:<ann@example.org>", "S: 452 4.5.3 ")


def test_recipients_past_the_limit_have_one_of_their_own():
    over = ("C: RCPT TO:<ann@example.org>", "S: 452 4.5.3 ")
    rcpt = ("C: RCPT TO:<ann@example.org>", "S: 250")
    check(*HELLO, "C: MAIL FROM:<>", "S: 250", *rcpt * 3, *over * 3, over[0], "S: 421 4.7.0 ")


def test_nested_mail_and_resets():
    check(
        *(*HELLO, "C: MAIL FROM:<>", "S: 250", "C: MAIL FROM:<>", "S: 503 5.5.1 There is a sender"),
        *("C: EHLO again.example", "S: 250", "C: RCPT TO:<ann@example.org>", "S: 503 5.5.1 "),
        *("C: MAIL FROM:<>", "S: 250", "C: RSET", "S: 250", "C: MAIL FROM:<>", "S: 250"),
        *("C: DATA", "S: 503 5.5.1 Send RCPT"),
    )


HELLOS = [
    ("EHLO client.example", MX, "250"),
    ("HELO client.example", MX, "250"),
    ("EHLO [192.0.2.1]", MX, "250"),
    ("EHLO [IPv6:2001:db8::1]", MX, "250"),
    ("EHLO under_score", MX, "250"),
    ("EHLO", MX, "501 5.5.4 "),
    ("HELO ", MX, "501 5.5.4 "),
    ("EHLO two words", MX, "501 5.5.4 "),
    ("EHLO <script>", MX, "501 5.5.4 "),
    ("EHLO " + "a" * 256, MX, "501 5.5.4 "),
    ("EHLO Ann's iPhone (home)", SUBMISSION, "250"),
    ("EHLO bücher", SUBMISSION, "250"),
    ("EHLO", SUBMISSION, "501 5.5.4 "),
]


@pytest.mark.parametrize(("line", "terms", "expected"), HELLOS)
def test_hello(line, terms, expected):
    check(f"C: {line}", f"S: {expected}", terms=terms)


# AGFubgByaWdodA== is PLAIN for ann and right, YW5u and cmlnaHQ= are the two for LOGIN; IEFOTgBhbm4AcmlnaHQ= is PLAIN
# for ann as ANN, with a space before
AUTH = [
    (("C: AUTH PLAIN AGFubgByaWdodA==", "S: 235 2.7.0 "), True),
    (("C: auth plain  AGFubgByaWdodA==", "S: 235 2.7.0 "), True),
    (("C: AUTH PLAIN", "S: 334 ", "C: AGFubgByaWdodA==", "S: 235 2.7.0 "), True),
    (("C: AUTH PLAIN YW5uAGFubgByaWdodA==", "S: 235 2.7.0 "), True),
    (("C: AUTH PLAIN IEFOTgBhbm4AcmlnaHQ=", "S: 235 2.7.0 "), True),
    (("C: AUTH PLAIN Ym9iAGFubgByaWdodA==", "S: 535 5.7.8 "), False),
    (("C: AUTH PLAIN AGFubgB3cm9uZw==", "S: 535 5.7.8 "), False),
    (("C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", "C: YW5u", "S: 334 UGFzc3dvcmQ6", "C: cmlnaHQ=", "S: 235"), True),
    (("C: AUTH LOGIN YW5u", "S: 334 UGFzc3dvcmQ6", "C: cmlnaHQ=", "S: 235 2.7.0 "), True),
    (("C: AUTH LOGIN", "S: 334 ", "C: *", "S: 501 5.7.0 ", "C: NOOP", "S: 250"), False),
    (("C: AUTH PLAIN", "S: 334 ", "C: *", "S: 501 5.7.0 "), False),
    (("C: AUTH PLAIN =", "S: 501 5.5.2 "), False),
    (("C: AUTH PLAIN !!!", "S: 501 5.5.2 "), False),
    (("C: AUTH PLAIN YW5u", "S: 501 5.5.2 "), False),
    (("C: AUTH PLAIN", "S: 334 ", "C: MAIL FROM:<>", "S: 501 5.5.2 ", "C: NOOP", "S: 250"), False),
    (("C: AUTH CRAM-MD5", "S: 504 5.5.4 "), False),
    (("C: AUTH", "S: 504 5.5.4 "), False),
]


@pytest.mark.parametrize(("script", "success"), AUTH)
def test_auth(script, success):
    assert check(*HELLO, *script, terms=SUBMISSION, tls=True).authenticated is success


def test_nothing_is_possible_without_login():
    check(*HELLO, "C: MAIL FROM:<>", "S: 530 5.7.0 Authentication", terms=SUBMISSION, tls=True)
    check(*HELLO, "C: VRFY ann", "S: 530 5.7.0 Authentication", terms=SUBMISSION, tls=True)
    check(*HELLO, "C: MAIL FROM:<>", "S: 530 5.7.0 Send STARTTLS", terms=SUBMISSION)


def test_no_login_in_clear_text():
    check(*HELLO, "C: AUTH PLAIN AGFubgByaWdodA==", "S: 538 5.7.11 ", terms=SUBMISSION)


def test_second_login_and_tls_after_login():
    login = ("C: AUTH PLAIN AGFubgByaWdodA==", "S: 235")
    check(*HELLO, *login, "C: AUTH PLAIN AGFubgByaWdodA==", "S: 503 5.5.1 ", terms=SUBMISSION, tls=True)
    check(*HELLO, *login, "C: STARTTLS", "S: 503 5.5.1 ", terms=SUBMISSION, tls=True)


def test_guessing_passwords_ends():
    dialog, got = converse(b"EHLO x\r\n" + b"AUTH PLAIN AGFubgB3cm9uZw==\r\n" * 20, SUBMISSION, tls=True)
    assert dialog.closed
    assert got[1:] == ["535 5.7.8 Wrong user name or password"] * 5 + ["421 4.7.0 Too many failed logins, goodbye"]


@pytest.mark.parametrize(
    ("octets", "offence"),
    [
        (b"XYZZY\r\n" * 10, "too-many-errors"),
        (b"EHLO x\r\n" + b"AUTH PLAIN !!!\r\n" * 10, "too-many-errors"),
        (b"EHLO x\n", "too-many-errors"),
        (b"EHLO x\r\n" + b"AUTH PLAIN AGFubgB3cm9uZw==\r\n" * 10, ""),
        (b"XYZZY\r\n" * 9 + b"QUIT\r\n", ""),
        (b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n", "foreign-protocol"),
        (b"\x16\x03\x01\x02\x00\x01\x00\n\x01\xfc\x03\x03", "foreign-protocol"),
        (b"SSH-2.0-Go\r\n", "foreign-protocol"),
    ],
)
def test_what_counts_against_the_client(octets, offence):
    """Failed logins are counted where they are checked, and a mail program with an old password is not banned."""
    dialog, got = converse(octets, SUBMISSION, tls=True)
    assert (dialog.closed, dialog.offence) == (True, offence)


def test_what_follows_starttls_is_thrown_away():
    dialog, got = converse(b"EHLO x\r\nSTARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@other.example>\r\n")
    assert [line[:3] for line in got] == ["250", "220"]
    assert dialog.state is State.CONNECTED
    assert dialog.hello == ""


def test_overlong_line_is_answered_once_and_costs_no_memory():
    dialog = Dialog(MX)
    for _ in range(1000):
        dialog.receive_data(b"a" * 1000)
        assert dialog.next_event() is None
    assert len(dialog.take_rest()) < MX.limits.line_octets
    dialog, got = converse(b"NOOP " + b"a" * 100_000 + b"\r\nNOOP\r\n", size=1000)
    assert got == ["500 5.5.2 Line is too long", "250 2.0.0 OK"]


@pytest.mark.parametrize("line", [b"NO\rOP\r\n", b"NOOP x\r\r\n", b"\rNOOP\r\n", b"MAIL FROM:<a\rb@c.example>\r\n"])
def test_bare_cr_in_a_command_is_refused(line):
    for size in (0, 1, 3):
        dialog, got = converse(b"EHLO x\r\n" + line + b"NOOP\r\n", size=size)
        assert got[1:] == ["500 5.5.2 Bare CR or LF in a command, end lines with CRLF", "250 2.0.0 OK"]


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"\n", b"NOOP x\nRSET\r\n", b"MAIL FROM:<a@b.example>\nRCPT TO:<ann@example.org>\r\n"]
)
def test_bare_lf_in_a_command_ends_the_session(line):
    for size in (0, 1, 3):
        dialog, got = converse(b"EHLO x\r\n" + line + b"MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\n", size=size)
        assert got[1:] == ["500 5.5.2 Bare CR or LF in a command, end lines with CRLF"]
        assert dialog.closed


def test_errors_and_idling_end():
    dialog, got = converse(b"XYZZY\r\n" * 50)
    assert got[-1] == "421 4.7.0 Too many errors, goodbye"
    assert len(got) == MX.limits.errors + 1
    dialog, got = converse(b"EHLO x\r\n" + b"NOOP\r\n" * 500)
    assert got[-1].startswith("421 4.7.0 ")
    dialog, got = converse(b"EHLO x\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<nobody@example.org>\r\n" * 500)
    assert got[-1].startswith("421 4.7.0 ")
    assert len(got) == MX.limits.refusals + 3


def test_every_reply_has_the_enhanced_code_that_fits():
    for state in LEGAL:
        for verb in [*KNOWN, "EXPN", "XYZZY"]:
            dialog = Dialog(MX)
            dialog.state = state
            dialog.receive_data(f"{verb}\r\n".encode())
            event = dialog.next_event()
            if event:
                dialog.answer(answered(event))
            for line in dialog.data_to_send().decode().splitlines():
                # RFC 2034 §3: greeting, EHLO and HELO have none, RFC 5248 §1 leaves 3yz without
                assert line[0] == "3" or line[4:6] == f"{line[0]}.", line


def test_invalid_utf8_is_an_error():
    _, got = converse(b"EHLO x\r\nMAIL FROM:<\xff@other.example>\r\n")
    assert got[1].startswith("501 5.5.4 ")
