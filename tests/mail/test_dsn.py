import quopri
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from mailsuite.mail.dsn import MAX_RETURNED_OCTETS, Action, DsnRecipient, DsnReport, build_dsn
from mailsuite.mail.message import parse_message

NOW = datetime(2025, 11, 24, 10, tzinfo=UTC)
BOB = DsnRecipient(
    "bob@example.net",
    Action.FAILED,
    "5.1.1",
    remote_host="mx.example.net",
    diagnostic="550 5.1.1 no bob",
    original_recipient="rfc822;robert@example.net",
    last_attempt_at=NOW,
)
REPORT = DsnReport(
    hostname="mx.example.org",
    from_address="postmaster@example.org",
    to_address="ann@example.org",
    recipients=(BOB,),
    original=b"Subject: hi\r\nFrom: ann@example.org\r\n\r\nhello\r\n",
    original_message_id="<one@example.org>",
    original_subject="hi",
    arrived_at=NOW,
    now=NOW,
    message_id="<dsn@example.org>",
    boundary_seed="q1",
    envelope_id="env-1",
)


def _read(report):
    octets = build_dsn(report)
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    message = message_from_bytes(octets, policy=policy.default)
    assert not message.defects
    assert message["Auto-Submitted"] == "auto-replied"
    human, status, returned = message.iter_parts()
    return message, human.get_content(), status, returned


def test_failure():
    message, human, status, returned = _read(REPORT)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Subject"] == "Not delivered: hi"
    assert message["To"] == "ann@example.org"
    assert message["In-Reply-To"] == message["References"] == "<one@example.org>"
    assert "bob@example.net" in human
    assert "550 5.1.1 no bob" in human
    assert "typing errors" in human
    about, recipient = status.get_payload()
    assert dict(about) == {
        "Reporting-MTA": "dns; mx.example.org",
        "Original-Envelope-Id": "env-1",
        "Arrival-Date": "Mon, 24 Nov 2025 10:00:00 +0000",
    }
    assert dict(recipient) == {
        "Original-Recipient": "rfc822;robert@example.net",
        "Final-Recipient": "rfc822;bob@example.net",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 no bob",
        "Last-Attempt-Date": "Mon, 24 Nov 2025 10:00:00 +0000",
    }
    assert returned.get_content_type() == "message/rfc822"
    assert REPORT.original in build_dsn(REPORT)


@pytest.mark.parametrize(
    ("status", "diagnostic", "remote_host", "advice"),
    [
        (
            "5.7.1",
            "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org",
            "mx.example.net",
            "whoever wrote",
        ),
        ("5.7.1", "550 5.7.1 <bob@example.net>: user unknown", "mx.example.net", "There is no such mailbox."),
        (
            "5.1.8",
            "550 5.1.8 <ann@example.org>: Sender address rejected: Domain not found",
            "mx.example.net",
            "Check your",
        ),
        ("4.4.7", "452 4.2.2 over quota", "mx.example.net", "The mailbox is full."),
        ("5.7.1", "550 5.7.1 no", "mx.example.net", "refused by a rule"),
        ("4.4.7", "451 4.3.0 later", "mx.example.net", "could not be reached for days"),
        # Ours, and nobody else's.
        ("5.1.2", "550 5.1.2 this looks like spam", None, "does not receive mail"),
    ],
)
def test_what_to_do_follows_from_what_the_other_host_means(status, diagnostic, remote_host, advice):
    recipient = replace(BOB, status=status, diagnostic=diagnostic, remote_host=remote_host)
    _, human, _, _ = _read(replace(REPORT, recipients=(recipient,)))
    assert advice in " ".join(human.split())


def test_our_own_words_are_no_smtp_reply():
    recipient = DsnRecipient("bob@example.net", Action.FAILED, "5.1.2", diagnostic="the domain does not exist")
    _, _, status, _ = _read(replace(REPORT, recipients=(recipient,)))
    fields = status.get_payload()[1]
    assert fields["Diagnostic-Code"] == "x-mailsuite; the domain does not exist"
    assert "Remote-MTA" not in fields


def test_own_parser_finds_the_returned_message():
    octets = build_dsn(REPORT)
    part = parse_message(octets).parts.children[2]
    assert octets[part.body_start : part.end] == REPORT.original
    assert parse_message(octets).in_reply_to == "<one@example.org>"


@pytest.mark.parametrize(
    ("action", "subject", "words"),
    [
        (Action.FAILED, "Not delivered: hi", "could not be delivered"),
        (Action.DELAYED, "Delayed: hi", "tried until 2025-11-24 10:00 UTC"),
        (Action.DELIVERED, "Delivered: hi", "was delivered"),
        (Action.RELAYED, "Passed on: hi", "passed on"),
        (Action.EXPANDED, "Passed on: hi", "passes mail on"),
    ],
)
def test_actions(action, subject, words):
    recipient = DsnRecipient("bob@example.net", action, "2.0.0", will_retry_until=NOW)
    message, human, status, _ = _read(replace(REPORT, recipients=(recipient,)))
    fields = status.get_payload()[1]
    assert message["Subject"] == subject
    assert words in human
    assert fields["Action"] == action.value
    assert ("Will-Retry-Until" in fields) == (action is Action.DELAYED)


def test_several_recipients():
    other = DsnRecipient("carl@example.net", Action.FAILED, "5.7.1", diagnostic="550 5.7.1 no")
    _, human, status, _ = _read(replace(REPORT, recipients=(BOB, other)))
    assert [group["Final-Recipient"] for group in status.get_payload()[1:]] == [
        "rfc822;bob@example.net",
        "rfc822;carl@example.net",
    ]
    assert human.count("could not be delivered") == 1
    assert "refused by a rule" in human


@pytest.mark.parametrize("header_only", [True, False])
def test_header_alone(header_only):
    original = REPORT.original + (b"" if header_only else b"x" * 70 + b"\r\n") * (MAX_RETURNED_OCTETS // 72 + 1)
    report = replace(REPORT, original=original, returns_header_only=header_only)
    *_, returned = _read(report)
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"hello" not in build_dsn(report)


def test_smtputf8():
    recipient = replace(BOB, address="jörg@example.net", original_recipient="utf-8;jörg@example.net")
    report = replace(REPORT, recipients=(recipient,), to_address="änn@example.org", smtputf8=True)
    octets = build_dsn(report)
    assert b"report-type=global-delivery-status" in octets
    _, status, _ = message_from_bytes(octets, policy=policy.SMTPUTF8).iter_parts()
    assert status.get_content_type() == "message/global-delivery-status"
    assert status["Content-Transfer-Encoding"] == "quoted-printable"
    fields = quopri.decodestring(octets[octets.index(b"Reporting-MTA") :])
    assert "Final-Recipient: utf-8;jörg@example.net\r\n".encode() in fields
    assert "Original-Recipient: utf-8;jörg@example.net\r\n".encode() in fields
    assert "To: <änn@example.org>\r\n".encode() in octets
    assert b"Content-Type: message/global\r\n" in octets
    assert b"Content-Type: message/global-headers\r\n" in build_dsn(replace(report, returns_header_only=True))


def test_address_outside_ascii_without_smtputf8():
    octets = build_dsn(replace(REPORT, recipients=(replace(BOB, address="jörg@example.net"),)))
    assert b"Final-Recipient: utf-8;j\\x{F6}rg@example.net\r\n" in octets
    assert octets[: octets.index(b"\r\n\r\n")].isascii()


EIGHT_BIT = "Subject: Grüße\r\nFrom: ann@example.org\r\n\r\nvon uns für euch\r\n".encode()


@pytest.mark.parametrize(
    "change",
    [
        {"original_subject": "Grüße"},
        {"original": EIGHT_BIT},
        {"original": EIGHT_BIT, "returns_header_only": True},
        {"original": REPORT.original + b"\xff\r\n"},
        {"original": EIGHT_BIT, "smtputf8": True},
        {"original": EIGHT_BIT, "smtputf8": True, "returns_header_only": True},
        {"envelope_id": "Grüße"},
        {"recipients": (replace(BOB, remote_host="mx.exämple.net", diagnostic="550 Übles"),)},
        {"recipients": (replace(BOB, original_recipient="ütf-8;jörg@example.net"),)},
        {"recipients": (replace(BOB, address="jörg@example.net"),), "smtputf8": True},
    ],
)
def test_any_host_can_take_it(change):
    """A notification that needed 8BITMIME would be lost at hosts without it: nothing bounces about it."""
    assert build_dsn(replace(REPORT, **change)).isascii()


def test_words_outside_ascii_are_readable():
    report = replace(REPORT, original_subject="Grüße", recipients=(replace(BOB, diagnostic="550 kein Jörg hier"),))
    _, human, *_ = _read(report)
    assert "Your message: Grüße" in human
    assert "550 kein Jörg hier" in human


def test_8_bit_text_comes_back_as_a_7_bit_copy():
    *_, returned = _read(replace(REPORT, original=EIGHT_BIT))
    assert returned.get_content_type() == "message/rfc822"
    [original] = returned.get_payload()
    assert (original["Subject"], original.get_payload(decode=True)) == ("Grüße", "von uns für euch\r\n".encode())


def test_of_8_bit_text_without_such_a_copy_the_header_comes_back():
    """A message/rfc822 may not be encoded (RFC 2046 §5.2.1)."""
    original = b"Received: from \xff\r\n" + EIGHT_BIT
    *_, returned = _read(replace(REPORT, original=original))
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_payload(decode=True) == original[: original.index(b"von uns")]


def test_of_a_message_sent_by_smtputf8_all_comes_back():
    octets = build_dsn(replace(REPORT, original=EIGHT_BIT, smtputf8=True))
    part = parse_message(octets).parts.children[2]
    assert quopri.decodestring(octets[part.body_start : part.end]) == EIGHT_BIT


def test_subject_outside_ascii():
    message, *_ = _read(replace(REPORT, original_subject="Grüße " * 30))
    assert message["Subject"].startswith("Not delivered: Grüße Grüße")


@pytest.mark.parametrize(
    "change",
    [
        {"original_subject": "hi\r\nX-Evil: 1"},
        {"to_address": "ann@example.org>\r\nX-Evil: 1"},
        {"original_message_id": "<one>\r\nX-Evil: 1"},
        {"envelope_id": "env\r\nX-Evil: 1"},
        {"recipients": (replace(BOB, diagnostic="550 no\r\n\r\nX-Evil: 1"),)},
        {"recipients": (replace(BOB, remote_host="mx\r\nX-Evil: 1", original_recipient="rfc822;a\nX-Evil: 1"),)},
    ],
)
def test_nothing_breaks_out(change):
    octets = build_dsn(replace(REPORT, **change))
    assert b"\nX-Evil" not in octets
    assert b"\rX-Evil" not in octets


def test_hostile_diagnostic_is_bounded():
    _read(replace(REPORT, recipients=(replace(BOB, diagnostic="x" * 100_000 + "\udcff\u2028"),)))


def test_boundary_is_not_in_the_original():
    first = build_dsn(REPORT)
    boundary = parse_message(first).body_structure.partition(b'"boundary" "')[2].partition(b'"')[0]
    _, _, _, returned = _read(replace(REPORT, original=b"Subject: x\r\n\r\n--" + boundary + b"--\r\nrest\r\n"))
    assert "rest" in returned.get_payload(0).get_payload()


def test_bad_message_id_is_not_threaded():
    message, *_ = _read(replace(REPORT, original_message_id="nonsense"))
    assert message["In-Reply-To"] is None
    assert message["References"] is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.1.1", "There is no such mailbox."),
        ("5.1.0", "Check the address for typing errors."),
        ("5.1.8", "does not take the address"),
        ("5.2.0", "Something is wrong with the mailbox."),
        ("5.4.310", "Check the domain after the @"),
        ("5.7.26", "refused by a rule"),
        ("5.0.0", "show this message to your postmaster"),
        ("5.5.0", "show this message to your postmaster"),
    ],
)
def test_the_status_says_what_to_do(status, words):
    _, human, _, _ = _read(replace(REPORT, recipients=(replace(BOB, status=status, diagnostic=None),)))
    assert words in " ".join(human.split())
