"""Dialogs with the client: S is what the host says, C what we must say; results are (fate, status) by recipient."""

import pytest

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from smtpd_service.outbound.smtp_client import SmtpClient, State
from smtpd_service.outbound.transaction import (
    BodyWanted,
    Fate,
    HandshakeNeeded,
    Login,
    Mail,
    Ready,
    Sent,
    SessionFailed,
    StartTls,
)

BODY = b"Subject: x\r\n\r\nHello\r\n"
HELLO = ["S: 220 mx.test ESMTP", "C: EHLO us.test", "S: 250-mx.test"]
PIPELINED = [*HELLO, "S: 250-PIPELINING", "S: 250 SIZE 1000"]
PLAIN = [*HELLO, "S: 250 HELP"]


class Session:
    """Drives a client by lines: `S:` is fed, `C:` must be what it sends next, `TLS` completes a handshake."""

    def __init__(self, mails=(), body=BODY, **settings):
        self.client = SmtpClient(helo="us.test", host="mx.test", **({"starttls": StartTls.OFFERED} | settings))
        self.mails, self.body, self.sent = list(mails), body, b""
        self.results, self.failed, self.handshakes = [], None, 0

    def run(self, *lines):
        for line in lines:
            if line == "EOF":
                self.client.receive_data(b"")
            elif line == "TLS":
                self.client.tls_started("TLSv1.3 TEST")
            elif line.startswith("S: "):
                self.client.receive_data(line[3:].encode() + b"\r\n")
            else:
                self.pump()
                expected = line[3:].encode() + b"\r\n"
                assert self.sent[: len(expected)] == expected, f"{self.sent!r} is not {line!r}"
                self.sent = self.sent[len(expected) :]
            self.pump()
        assert not self.sent, f"left over: {self.sent!r}"
        return self

    def pump(self):
        while event := self.client.next_event():
            match event:
                case Ready():
                    self.next_mail()
                case HandshakeNeeded():
                    self.handshakes += 1
                case BodyWanted():
                    for start in range(0, len(self.body), 3):
                        self.client.send_body(self.body[start : start + 3])
                    self.client.end_body()
                case Sent(outcomes):
                    self.results.append([(outcome.fate, outcome.status) for outcome in outcomes])
                    self.outcomes = outcomes
                    if self.client.state is State.READY:
                        self.next_mail()
                case SessionFailed(outcome):
                    self.failed = outcome
        self.sent += self.client.data_to_send()

    def next_mail(self):
        self.client.send(self.mails.pop(0)) if self.mails else self.client.quit()


def mail(*to, sender="ann@us.test", size=21, **more):
    return Mail(Envelope(sender, **more), [EnvelopeRecipient(one) for one in to or ("bob@test",)], size)


def body_lines(text="Subject: x\n\nHello\n"):
    return [f"C: {line}" for line in (text + ".").split("\n")]


DELIVERED = (Fate.DELIVERED, "2.0.0")


def test_a_whole_session_step_by_step():
    session = Session([mail("bob@test", "cy@test")]).run(
        *PLAIN,
        "C: MAIL FROM:<ann@us.test>",
        "S: 250 ok",
        "C: RCPT TO:<bob@test>",
        "S: 250 ok",
        "C: RCPT TO:<cy@test>",
        "S: 550 5.1.1 no such user",
        "C: DATA",
        "S: 354 go on",
        *body_lines(),
        "S: 250 2.0.0 queued",
        "C: QUIT",
        "S: 221 bye",
    )
    assert session.results == [[DELIVERED, (Fate.NEVER, "5.1.1")]]
    assert session.client.state is State.CLOSED


def test_pipelining_sends_the_envelope_at_once():
    session = Session([mail("bob@test", "cy@test")]).run(
        *PIPELINED,
        f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}",
        "C: RCPT TO:<bob@test>",
        "C: RCPT TO:<cy@test>",
        "C: DATA",
        "S: 250 ok",
        "S: 450 4.2.0 busy",
        "S: 250 ok",
        "S: 354 go on",
        *body_lines(),
        "S: 250 queued",
        "C: QUIT",
    )
    assert session.results == [[(Fate.LATER, "4.2.0"), DELIVERED]]


def test_a_refused_sender_is_everybody_s_outcome():
    session = Session([mail("bob@test", "cy@test")]).run(
        *PIPELINED,
        f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}",
        "C: RCPT TO:<bob@test>",
        "C: RCPT TO:<cy@test>",
        "C: DATA",
        "S: 550 5.7.1 not you",
        "S: 503 no sender",
        "S: 503 no sender",
        "S: 503 no recipients",
        "C: RSET",
        "S: 250 ok",
        "C: QUIT",
    )
    assert session.results == [[(Fate.NEVER, "5.7.1")] * 2]


def test_a_host_that_wants_a_message_for_nobody_gets_an_empty_one():
    session = Session([mail()]).run(
        *PIPELINED,
        f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}",
        "C: RCPT TO:<bob@test>",
        "C: DATA",
        "S: 250 ok",
        "S: 550 5.1.1 no",
        "S: 354 go on",
        "C: .",
        "S: 554 no recipients",
        "C: QUIT",
    )
    assert session.results == [[(Fate.NEVER, "5.1.1")]]


def test_the_next_message_after_a_refused_one_begins_with_rset():
    session = Session([mail("bob@test"), mail("cy@test")]).run(
        *PLAIN,
        "C: MAIL FROM:<ann@us.test>",
        "S: 250 ok",
        "C: RCPT TO:<bob@test>",
        "S: 550 no",
        "C: RSET",
        "S: 250 ok",
        "C: MAIL FROM:<ann@us.test>",
        "S: 250 ok",
        "C: RCPT TO:<cy@test>",
        "S: 250 ok",
        "C: DATA",
        "S: 354 go on",
        *body_lines(),
        "S: 250 queued",
        "C: QUIT",
    )
    assert session.results == [[(Fate.NEVER, "5.0.0")], [DELIVERED]]


def test_several_messages_in_one_session():
    one = [
        "C: MAIL FROM:<ann@us.test>",
        *("S: 250 ok", "C: RCPT TO:<bob@test>", "S: 250 ok", "C: DATA", "S: 354 go on", *body_lines(), "S: 250 ok"),
    ]
    session = Session([mail(), mail()]).run(*PLAIN, *one, *one, "C: QUIT")
    assert session.results == [[DELIVERED], [DELIVERED]]


@pytest.mark.parametrize(
    "body, wire",
    [
        (b"", b".\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
        (b"no line end", b"no line end\r\n.\r\n"),
        (b"ends with CR\r", b"ends with CR\r\r\n.\r\n"),
        (b"a\r\n.", b"a\r\n..\r\n.\r\n"),
        (b"a.\r\nb.", b"a.\r\nb.\r\n.\r\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_dots_are_doubled_wherever_the_chunks_are_cut(body, wire, step):
    session = Session([mail()], b"").run(*PLAIN, "C: MAIL FROM:<ann@us.test>", "S: 250 ok", "C: RCPT TO:<bob@test>")
    session.client.receive_data(b"250 ok\r\n")
    assert session.client.data_to_send() == b"DATA\r\n"
    session.client.receive_data(b"354 go on\r\n")
    for start in range(0, len(body), step):
        session.client.send_body(body[start : start + step])
    session.client.end_body()
    assert session.client.data_to_send() == wire


def test_parameters_are_given_as_offered():
    everything = [*HELLO, "S: 250-SIZE", "S: 250-8BITMIME", "S: 250-smtputf8", "S: 250 DSN"]
    recipient = EnvelopeRecipient("j\u00f6rg@test", "SUCCESS,FAILURE", "rfc822;b+2Bob@test")
    letter = Mail(
        Envelope("ann@us.test", eight_bit=True, smtputf8=True, dsn_ret="HDRS", dsn_envid="QQ314159"), [recipient], 9
    )
    Session([letter]).run(
        *everything,
        "C: MAIL FROM:<ann@us.test> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159",
        "S: 250 ok",
        "C: RCPT TO:<j\u00f6rg@test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bob@test",
    )


def test_parameters_that_could_break_the_command_are_left_out():
    letter = Mail(
        Envelope("ann@us.test", dsn_ret="FULL", dsn_envid="x\r\nRSET"),
        [EnvelopeRecipient("bob@test", "NEVER RSET", "a b")],
        9,
    )
    Session([letter]).run(
        *HELLO, "S: 250 DSN", "C: MAIL FROM:<ann@us.test> RET=FULL", "S: 250 ok", "C: RCPT TO:<bob@test>"
    )


@pytest.mark.parametrize(
    "letter, status",
    [
        (mail(size=1001), "5.3.4"),
        (mail(eight_bit=True), "5.6.3"),
        (mail(smtputf8=True), "5.6.7"),
    ],
)
def test_what_the_host_can_t_take_is_not_offered_to_it(letter, status):
    session = Session([letter]).run(*PIPELINED, "C: QUIT")
    assert session.results == [[(Fate.NEVER, status)]]
    assert "mx.test" in session.outcomes[0].text


def test_size_0_means_no_limit():
    Session([mail()]).run(*HELLO, "S: 250 SIZE 0", f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}")


def test_helo_where_ehlo_is_unknown():
    session = Session([mail()]).run(
        *("S: 220 old", "C: EHLO us.test", "S: 502 what?", "C: HELO us.test", "S: 250 hello"),
        "C: MAIL FROM:<ann@us.test>",
    )
    assert session.client.extensions == {}


def test_starttls_and_a_fresh_ehlo():
    session = Session([mail()]).run(
        *(*HELLO, "S: 250-STARTTLS", "S: 250 SIZE 5", "C: STARTTLS", "S: 220 go", "TLS", "C: EHLO us.test"),
        *("S: 250-mx.test", "S: 250 HELP", "C: MAIL FROM:<ann@us.test>"),
    )
    assert session.handshakes == 1
    assert session.client.tls == "TLSv1.3 TEST"


def test_starttls_refused_goes_on_in_clear_when_it_may():
    offered = [*HELLO, "S: 250 STARTTLS", "C: STARTTLS", "S: 454 no entropy"]
    Session([mail()]).run(*offered, "C: MAIL FROM:<ann@us.test>")
    session = Session([mail()], starttls=StartTls.REQUIRED).run(*offered)
    assert (session.failed.fate, session.failed.reason) == (Fate.LATER, "tls-refused")


def test_starttls_missing_where_it_is_required():
    session = Session([mail()], starttls=StartTls.REQUIRED).run(*PLAIN)
    assert (session.failed.fate, session.failed.reason) == (Fate.LATER, "tls-missing")


def test_starttls_is_left_alone_where_it_failed_before():
    Session([mail()], starttls=StartTls.NEVER).run(*HELLO, "S: 250 STARTTLS", "C: MAIL FROM:<ann@us.test>")


@pytest.mark.parametrize("more", [b"250 injected\r\n", b"250 injec"])
def test_words_in_clear_after_the_reply_to_starttls_end_the_session(more):
    session = Session([mail()]).run(*HELLO, "S: 250 STARTTLS", "C: STARTTLS")
    session.client.receive_data(b"220 go\r\n" + more)
    session.pump()
    assert session.handshakes == 0
    assert session.failed.reason == "tls-injection"
    assert session.client.state is State.CLOSED


LOGIN = {"login": Login("ann", "secret"), "tls": "TLSv1.3", "starttls": StartTls.NEVER}


def test_auth_plain():
    session = Session([mail()], **LOGIN).run(
        *HELLO,
        "S: 250 AUTH LOGIN PLAIN",
        "C: AUTH PLAIN AGFubgBzZWNyZXQ=",
        "S: 235 welcome",
        "C: MAIL FROM:<ann@us.test>",
    )
    assert "AGFubgBzZWNyZXQ" not in session.client.dialog()


def test_auth_login():
    session = Session([mail()], **LOGIN).run(
        *(*HELLO, "S: 250 AUTH LOGIN", "C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", "C: YW5u", "S: 334 UGFzc3dvcmQ6"),
        *("C: c2VjcmV0", "S: 235 welcome", "C: MAIL FROM:<ann@us.test>"),
    )
    assert "c2VjcmV0" not in session.client.dialog()


@pytest.mark.parametrize(
    "lines, reason",
    [
        (["S: 250 AUTH PLAIN", "C: AUTH PLAIN AGFubgBzZWNyZXQ=", "S: 535 5.7.8 wrong"], "auth-failed"),
        (["S: 250 AUTH CRAM-MD5"], "auth-missing"),
        (["S: 250 HELP"], "auth-missing"),
    ],
)
def test_a_login_that_fails_is_our_trouble_and_bounces_nothing(lines, reason):
    session = Session([mail()], **LOGIN).run(*HELLO, *lines)
    assert (session.failed.fate, session.failed.reason) == (Fate.LATER, reason)
    assert session.failed.status.startswith("4.")


def test_no_password_in_clear():
    session = Session([mail()], login=Login("ann", "secret"), starttls=StartTls.OFFERED).run(
        *HELLO, "S: 250 AUTH PLAIN"
    )
    assert session.failed.reason == "auth-needs-tls"


@pytest.mark.parametrize(
    "lines, reason, status",
    [
        (["S: 554 5.7.1 go away"], "greeting-refused", "4.7.1"),
        (["S: 421 busy"], "service-closing", "4.0.0"),
        (["S: 354 strange"], "greeting-refused", "4.0.0"),
        (["EOF"], "connection-lost", "4.4.2"),
        (["S: HTTP/1.1 400 Bad Request", "EOF"], "connection-lost", "4.4.2"),
        (["S: 220 hi", "C: EHLO us.test", "S: 421 later"], "service-closing", "4.0.0"),
        (["S: 220 hi", "C: EHLO us.test", "S: 450 later"], "hello-refused", "4.0.0"),
        (["S: 220 hi", "C: EHLO us.test", "S: 500 what", "C: HELO us.test", "S: 554 no"], "hello-refused", "4.0.0"),
        (["S: 220 hi", "C: EHLO us.test", "EOF"], "connection-lost", "4.4.2"),
    ],
)
def test_sessions_that_fail_before_any_mail(lines, reason, status):
    session = Session([mail()]).run(*lines)
    assert (session.failed.fate, session.failed.reason, session.failed.status) == (Fate.LATER, reason, status)
    assert session.client.state is State.CLOSED


ENVELOPE = [
    *PIPELINED,
    f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}",
    *("C: RCPT TO:<bob@test>", "C: RCPT TO:<cy@test>", "C: DATA"),
]


@pytest.mark.parametrize(
    "lines, results",
    [
        (["EOF"], [(Fate.LATER, "4.4.2")] * 2),
        (["S: 250 ok", "S: 550 5.1.1 no", "EOF"], [(Fate.NEVER, "5.1.1"), (Fate.LATER, "4.4.2")]),
        (["S: 250 ok", "S: 421 4.3.2 down"], [(Fate.LATER, "4.3.2")] * 2),
        (["S: 250 ok", "S: gibberish"], [(Fate.LATER, "4.5.0")] * 2),
        (["S: 250 ok", "S: 250 ok", "S: 250 ok", "S: 451 4.3.0 no", "S: 250 reset"], [(Fate.LATER, "4.3.0")] * 2),
        (["S: 250 ok", "S: 250 ok", "S: 250 ok", "S: 250 no 354"], [(Fate.LATER, "4.5.0")] * 2),
    ],
)
def test_transactions_that_end_before_the_message(lines, results):
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE)
    for line in lines:
        session.client.receive_data(b"" if line == "EOF" else line[3:].encode() + b"\r\n")
        session.pump()
    assert session.results == [results]


@pytest.mark.parametrize(
    "lines, results",
    [
        (["EOF"], [(Fate.UNKNOWN, "4.4.2"), (Fate.NEVER, "5.1.1")]),
        (["S: gibberish", "EOF"], [(Fate.UNKNOWN, "4.4.2"), (Fate.NEVER, "5.1.1")]),
        (["S: 421 4.3.2 down"], [(Fate.LATER, "4.3.2"), (Fate.NEVER, "5.1.1")]),
        (["S: 452 4.3.1 full"], [(Fate.LATER, "4.3.1"), (Fate.NEVER, "5.1.1")]),
        (["S: 554 5.6.0 spam"], [(Fate.NEVER, "5.6.0"), (Fate.NEVER, "5.1.1")]),
    ],
)
def test_what_may_come_after_the_final_dot(lines, results):
    session = Session([mail("bob@test", "cy@test")]).run(
        *ENVELOPE, "S: 250 ok", "S: 250 ok", "S: 550 5.1.1 no", "S: 354 go on", *body_lines()
    )
    for line in lines:
        session.client.receive_data(b"" if line == "EOF" else line[3:].encode() + b"\r\n")
        session.pump()
    assert session.results == [results]


def test_a_refusal_amid_the_message_counts_and_ends_the_connection():
    client = Session([mail()]).run(*PLAIN, "C: MAIL FROM:<ann@us.test>", "S: 250 ok", "C: RCPT TO:<bob@test>").client
    client.receive_data(b"250 ok\r\n")
    assert client.data_to_send() == b"DATA\r\n"
    client.receive_data(b"354 go on\r\n")
    assert client.next_event() == BodyWanted()
    client.send_body(b"x" * 100)
    client.receive_data(b"552 5.3.4 too much\r\n")
    [outcome] = client.next_event().outcomes
    assert (outcome.fate, outcome.status, client.state) == (Fate.NEVER, "5.3.4", State.CLOSED)
    client.send_body(b"more")
    client.end_body()
    assert client.data_to_send() == b""


def test_what_nobody_asked_for_stands_where_it_was_said():
    session = Session([mail("bob@test")]).run(
        *(*PLAIN, "C: MAIL FROM:<ann@us.test>", "S: 250 ok", "C: RCPT TO:<bob@test>", "S: 250 ok", "C: DATA"),
        *("S: 354 go on", *body_lines(), "S: 250 taken\r\n250 ok abc"),
    )
    *_, taken, late, _ = session.client.dialog().splitlines()
    assert (taken, late) == ("S: 250 taken", "S: 250 ok abc")


def test_each_recipient_s_dialog_tells_nothing_of_the_others():
    session = Session([mail("bob@test", "cy@test")]).run(
        *ENVELOPE,
        "S: 250 ok",
        "S: 550 5.1.1 bob is gone",
        "S: 250 cy is fine",
        "S: 354 go on",
        *body_lines(),
        "S: 250 ok",
        "C: QUIT",
    )
    bob, cy = session.client.dialog(0), session.client.dialog(1)
    assert "bob@test" in bob and "bob is gone" in bob and "cy" not in bob
    assert "cy is fine" in cy and "bob" not in cy
    assert "bob is gone" in session.client.dialog() and "cy is fine" in session.client.dialog()


def test_timeouts_follow_the_state():
    client = Session([mail()]).run(*PLAIN, "C: MAIL FROM:<ann@us.test>").client
    assert client.timeout_seconds == 300
    assert SmtpClient(helo="us", starttls=StartTls.NEVER).timeout_seconds == 300


# Hosts that say more, or other things, than they are asked for. What is fed at once came in one packet.


def fed(session, *packets):
    for packet in packets:
        session.client.receive_data(packet if isinstance(packet, bytes) else packet.encode())
        session.pump()
    return session


LOCK_STEP = ["C: MAIL FROM:<ann@us.test>", "S: 250 ok", "C: RCPT TO:<bob@test>", "S: 250 ok", "C: DATA", "S: 354 go on"]


@pytest.mark.parametrize(
    "greeting",
    [
        "Welcome to the mail gateway\r\n220 mx ESMTP\r\n",
        "\r\n220 mx ESMTP\r\n",
        "220mx.test ESMTP\r\n",
        "220x\r\n",
        " 220 mx ESMTP\r\n",
        "220-mx\r\nno code here\r\n220 ESMTP\r\n",
        "200 hello\r\n",
        "100 users\r\n220 hello\r\n",
        "220 mx\r\n220 mx once more\r\n",
        "220 mx\r\n\r\nnews of today\r\n",
    ],
)
def test_what_may_stand_for_a_greeting(greeting):
    session = fed(Session([mail()]), greeting).run("C: EHLO us.test", "S: 250 mx", *LOCK_STEP, *body_lines())
    fed(session, "250 ok\r\n").run("C: QUIT")
    assert session.results == [[DELIVERED]]


def test_a_greeting_that_comes_late_again_is_no_answer_to_ehlo():
    session = Session([mail()]).run("S: 220 a", "C: EHLO us.test", "S: 220 b")
    session.run("S: 250-mx", "S: 250 SIZE 900", f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}")


def test_a_host_that_answers_ehlo_as_others_greet_is_given_some_seconds():
    session = Session([mail()]).run("S: 220 a", "C: EHLO us.test", "S: 220 hello to you")
    assert session.client.timeout_seconds == 10
    session.client.timed_out()
    session.run("C: MAIL FROM:<ann@us.test>")
    assert session.client.timeout_seconds == 300


def test_an_ehlo_line_without_a_code_names_no_extension():
    session = Session([mail()]).run(*HELLO, "S: SIZE 5", "S: 250-AUTH", "S: 250 HELP", "C: MAIL FROM:<ann@us.test>")
    assert set(session.client.extensions) == {"AUTH", "HELP"}


@pytest.mark.parametrize(
    "packets",
    [
        ["250 2.0.0 taken\r\n\r\n"],
        ["250 2.0.0 taken\r\n250 2.0.0 taken\r\n"],
        ["250 2.0.0 taken\r\n550 5.0.0 no\r\n"],
        ["250 2.0.0 taken\r\n250-and"],
        ["250 2.0.0 taken\r\n\x00\x16\x03"],
        ["\r\n250 2.0.0 taken\r\n"],
        ["thank you\r\n", "250 2.0.0 taken\r\n"],
        ["354 go on\r\n", "250 2.0.0 taken\r\n"],
        ["150 hold on\r\n250 2.0.0 taken\r\n"],
        ["550-no\r\n", "250 2.0.0 but yes\r\n"],
        ["250 2.0.0 taken\r\n", b""],
        ["250 2.0.0 tak", b""],
        ["250-2.0.0 taken\r\n250 ", b""],
    ],
)
def test_what_is_complete_counts(packets):
    session = Session([mail()]).run(*PLAIN, *LOCK_STEP, *body_lines())
    fed(session, *packets)
    assert session.results == [[DELIVERED]]
    assert not session.client.is_ready


@pytest.mark.parametrize("packets", [["250", b""], ["250-taken\r\n", b""], ["taken\r\n", b""], ["250-", b""]])
def test_what_is_incomplete_leaves_it_open(packets):
    session = Session([mail()]).run(*PLAIN, *LOCK_STEP, *body_lines())
    fed(session, *packets)
    assert [[fate for fate, _ in result] for result in session.results] == [[Fate.UNKNOWN]]


def test_the_last_line_s_code_decides():
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE, "S: 250 ok", "S: 550-5.1.1 no", "S: 554 5.1.1 gone")
    session.run("S: 250 ok", "S: 354 go on", *body_lines(), "S: 451-4.3.0 hm", "S: 250 2.0.0 yes", "C: QUIT")
    assert session.results == [[(Fate.NEVER, "5.1.1"), DELIVERED]]


NOTHING = [(Fate.LATER, "4.5.0")] * 2


@pytest.mark.parametrize(
    "packet, results",
    [
        # A reply too many in front: each is taken for the one before it.
        ("250 late\r\n250 ok\r\n550 5.1.1 bob\r\n250 ok\r\n354 go\r\n", NOTHING),
        ("250 late\r\n250 ok\r\n250 ok\r\n550 5.1.1 cy\r\n354 go\r\n", NOTHING),
        ("250 late\r\n250 ok\r\n550 5.1.1 bob\r\n550 5.1.1 cy\r\n503 nobody\r\n", NOTHING),
        # One of them twice.
        ("250 ok\r\n550 5.1.1 bob\r\n550 5.1.1 bob\r\n250 ok\r\n354 go\r\n", NOTHING),
        # One that is missing, and a text in its place.
        ("250 ok\r\n550 5.1.1 cy\r\n354 go\r\n", NOTHING),
        ("fine\r\n250 ok\r\n550 5.1.1 cy\r\n354 go\r\n", NOTHING),
        ("250 ok\r\n250-ok\r\n550 5.1.1 cy\r\n354 go\r\n", NOTHING),
        ("250 ok\r\n999 ok\r\n550 5.1.1 cy\r\n354 go\r\n", NOTHING),
        # Blank lines harm nobody.
        ("250 ok\r\n\r\n550 5.1.1 bob\r\n\r\n550 5.1.1 cy\r\n503 nobody\r\n250 reset\r\n", [(Fate.NEVER, "5.1.1")] * 2),
    ],
)
def test_out_of_step_nothing_counts(packet, results):
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE)
    for line in packet.splitlines(keepends=True):
        fed(session, line)
    assert session.results == [results]
    assert session.client.state is (State.CLOSED if results is NOTHING else State.QUIT)


def test_a_refusal_of_data_counts_once_the_host_is_seen_to_be_in_step():
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE, "S: 250 ok", "S: 250 ok", "S: 550 5.1.1 no")
    session.run("S: 554 5.7.1 not that", "C: RSET", "S: 250 ok", "C: QUIT")
    assert session.results == [[(Fate.NEVER, "5.7.1"), (Fate.NEVER, "5.1.1")]]


@pytest.mark.parametrize("end", ["EOF", "S: 421 4.3.2 bye"])
def test_a_host_that_hangs_up_after_refusing_data_has_refused_it(end):
    session = Session([mail()]).run(*PLAIN, *LOCK_STEP[:-1], "S: 554 5.7.1 not that", "C: RSET", end)
    assert session.results == [[(Fate.NEVER, "5.7.1")]]


def test_a_late_reply_to_the_last_message_bounces_nobody_of_the_next():
    """The host of the case answered a final dot twice; its second reply arrives after our next MAIL."""
    for first in ("250 late", "550 5.7.1 late"):
        session = Session([mail(), mail()]).run(*PLAIN, *LOCK_STEP, *body_lines(), "S: 250 ok", LOCK_STEP[0])
        session.run(f"S: {first}", *([LOCK_STEP[2]] if first.startswith("250") else ["C: QUIT"]))
        if first.startswith("250"):
            session.run("S: 250 ok", "C: DATA", "S: 550 5.1.1 no", "C: RSET", "S: 354 go on")
        assert [fate for fate, _ in session.results[1]] == [Fate.LATER]


def test_what_a_reused_connection_said_before_it_broke_does_not_count():
    two = mail("bob@test", "cy@test")
    session = Session([mail("bob@test", "cy@test"), two]).run(*ENVELOPE, *["S: 250 ok"] * 3, "S: 354 go", *body_lines())
    session.run("S: 250 ok", *ENVELOPE[-4:], "S: 250 ok", "S: 550 5.1.1 no", "EOF")
    assert session.results[1] == [(Fate.LATER, "4.4.2")] * 2


def test_a_reply_that_is_there_before_the_command_answers_nothing():
    session = Session([mail("bob@test", "cy@test")]).run(*PLAIN, "C: MAIL FROM:<ann@us.test>")
    fed(session, "250 ok\r\n550 5.1.1 no\r\n")
    assert session.results == [NOTHING]


def test_a_second_go_ahead_does_not_end_the_message():
    session = Session([mail()]).run(*PLAIN, *LOCK_STEP[:-1])
    fed(session, "354 go\r\n354 go\r\n").run(*body_lines(), "S: 250 ok", "C: QUIT")
    assert session.results == [[DELIVERED]]


def test_consent_before_the_final_dot_is_no_consent_to_the_message():
    client = Session([mail()]).run(*PLAIN, *LOCK_STEP[:-1]).client
    client.receive_data(b"354 go\r\n250 ok\r\n")
    [outcome] = client.next_event().outcomes
    assert (outcome.fate, client.state) == (Fate.LATER, State.CLOSED)


def test_a_host_that_gets_out_of_step_can_be_asked_one_by_one():
    Session([mail("bob@test", "cy@test")], pipelines=False).run(
        *PIPELINED, f"C: MAIL FROM:<ann@us.test> SIZE={len(BODY)}", "S: fine", "S: 250 ok", "C: RCPT TO:<bob@test>"
    )


def test_a_refusal_that_is_said_twice_is_not_that_of_the_next_recipient():
    """One by one, DATA is sent though nobody seems to be accepted: its answer shows the step."""
    session = Session([mail("bob@test", "cy@test")]).run(
        *(*PLAIN, "C: MAIL FROM:<ann@us.test>", "S: 250 ok", "C: RCPT TO:<bob@test>", "S: 550 5.1.1 bob"),
        *("C: RCPT TO:<cy@test>", "S: 550 5.1.1 bob", "C: DATA", "S: 250 cy"),
    )
    assert session.results == [NOTHING]


def test_a_host_that_hangs_up_amid_the_envelope_has_refused_whom_it_refused_first():
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE)
    fed(session, "250 ok\r\n", "550 5.1.1 bob\r\n", "550 5.1.1 bob\r\n", b"")
    assert session.results == [[(Fate.NEVER, "5.1.1"), (Fate.LATER, "4.4.2")]]


def test_a_reply_that_never_comes_leaves_none_of_the_others_sure():
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE)
    fed(session, "550 5.1.1 bob\r\n", "250 cy\r\n", "503 nobody\r\n")
    session.client.timed_out()
    session.pump()
    assert [fate for fate, _ in session.results[0]] == [Fate.LATER] * 2


def test_a_go_ahead_before_data_is_asked_for_is_passed_over_one_by_one():
    session = Session([mail()]).run(*PLAIN, *LOCK_STEP[:1])
    fed(session, "354 go\r\n250 ok\r\n").run(LOCK_STEP[2])
    fed(session, "250 ok\r\n354 go\r\n").run("C: DATA", "S: 354 go", *body_lines(), "S: 250 ok", "C: QUIT")
    assert session.results == [[DELIVERED]]
    session = Session([mail("bob@test", "cy@test")]).run(*ENVELOPE)
    fed(session, "250 ok\r\n354 go\r\n")
    assert session.results == [NOTHING]
