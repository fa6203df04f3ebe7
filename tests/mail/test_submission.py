from datetime import UTC, datetime

import pytest

from mailsuite.mail.address import Address, AddressError
from mailsuite.mail.header import normalize_line_ends
from mailsuite.mail.parsed_header import Header
from mailsuite.mail.submission import author_addresses, complete_authors, prepare_header

NOW = datetime(2025, 11, 24, 10, tzinfo=UTC)
DATE = b"Date: Mon, 24 Nov 2025 10:00:00 +0000\r\n"
MESSAGE_ID = b"Message-ID: <q1@mx.example.net>\r\n"
OWN = b"Date: then\r\nMessage-ID: <own@example.org>\r\n"


def _prepare(header):
    prepared, stray = prepare_header(Header.parse(header), hostname="mx.example.net", now=NOW, message_id_seed="q1")
    assert Header.parse(prepared.block).table == prepared.table
    return prepared.block + stray


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (OWN + b"\r\n", OWN + b"\r\n"),
        (b"From: a\r\n\r\n", b"From: a\r\n" + DATE + MESSAGE_ID + b"\r\n"),
        (b"From: a\n\n", b"From: a\r\n" + DATE + MESSAGE_ID + b"\r\n"),
        (b"From: a\r\rX: y\n\n", b"From: a\r\n" + DATE + MESSAGE_ID + b"\r\n"),
        (b"", DATE + MESSAGE_ID + b"\r\n"),
        (b"\r\n", DATE + MESSAGE_ID + b"\r\n"),
        (b"Date:\r\nMESSAGE-id: \r\n\r\n", DATE + MESSAGE_ID + b"\r\n"),
        (b"date : then\r\n\r\n", b"date : then\r\n" + MESSAGE_ID + b"\r\n"),
        (b"BCC: x,\r\n y\r\n" + OWN + b"Resent-Bcc : z\r\nReturn-Path: <q>\r\n\r\n", OWN + b"\r\n"),
        (OWN + b"bcc: x\rBcc: y\nBCC:z\r\n\r\n", OWN + b"\r\n"),
        (OWN + b"X-Bcc: x\r\n\r\n", OWN + b"X-Bcc: x\r\n\r\n"),
        (OWN + b"Subject: a\r\n b\r\n\tc\r\n\r\n", OWN + b"Subject: a\r\n b\r\n\tc\r\n\r\n"),
        (b"From ann Mon Jan 1\n" + OWN + b"\n", OWN + b"\r\n"),
        (b"From : ann\n" + OWN + b"\n", b"From : ann\r\n" + OWN + b"\r\n"),
        (OWN + b"hello there\r\n\r\n", OWN + b"\r\nhello there\r\n\r\n"),
        (OWN + b"hello\nBcc: shown\n", OWN + b"\r\nhello\r\nBcc: shown\r\n"),
        (b" folded first\r\n\r\n", DATE + MESSAGE_ID + b"\r\n folded first\r\n\r\n"),
    ],
)
def test_header_goes_out_complete(header, expected):
    assert _prepare(header) == expected


def test_seed_can_not_break_out():
    header, _ = prepare_header(Header.parse(b""), hostname="h", now=NOW, message_id_seed="a>\r\nX: y")
    assert b"Message-ID: <aXy@h>\r\n" in header.block


def test_prepared_header_stays_as_it_is():
    once = _prepare(b"From: a\nBcc: b\nSubject: x\n\n")
    assert _prepare(once) == once


ANN, BOB = Address("ann", "example.org"), Address("bob", "example.net")


@pytest.mark.parametrize(
    ("header", "expected", "sender"),
    [
        (b"From: ann@example.org\r\n\r\n", (ANN,), None),
        (b"from : Ann\r\n <ann@EXAMPLE.org>\r\n\r\n", (ANN,), None),
        (b"From: Ann <ann@example.org>, bob@example.net\r\nSender: bob@example.net\r\n\r\n", (ANN, BOB), BOB),
        (b"From: Team: ann@example.org, bob@example.net;\n\n", (ANN, BOB), None),
        (b'From: "bob@example.net" <ann@example.org>\n\n', (ANN,), None),
        (b"From: <ann@example.org> <bob@example.net>\n\n", (ANN, BOB), None),
        (b"From: <ann@example.org> bob@example.net\n\n", (ANN, BOB), None),
        (b"From: ann@example.org; bob@example.net\n\n", (ANN, BOB), None),
        (b"From: ann@example.org\n\nFrom: in@the.body\nSender: x\n", (ANN,), None),
        (b"From : ann@example.org\r\n\r\n", (ANN,), None),
        (b"From: Doe, Ann <ann@example.org>\n\n", (ANN,), None),
        (b'From: "Ann <ann@example.org>\n\n', (ANN,), None),
        (b"From: ann@example.org Tan\n\n", (ANN,), None),
        (b'From: "bob@example.net" ann@example.org\r\n\r\n', (ANN,), None),
        (b"From: ann@example.org bob@example.net\n\n", (ANN, BOB), None),
        (b"From: ann@exa mple@example.net\r\n\r\n", (Address("ann", "exa"), Address("mple", "example.net")), None),
        ("From: jörg@bücher.example\n\n".encode(), (Address("jörg", "xn--bcher-kva.example"),), None),
    ],
)
def test_authors(header, expected, sender):
    authors = author_addresses(Header.parse_message(normalize_line_ends(header)))
    assert authors.from_addresses == expected
    assert authors.sender == sender
    assert authors.all == ((*expected, sender) if sender else expected)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"From: \r\n\r\n",
        b"\r\nFrom: ann@example.org\r\n",
        b"From: undisclosed:;\r\n\r\n",
        b"From: ann\r\n\r\n",
        b"From: @example.org\r\n\r\n",
        b"From: ann@example.org\r\nFrom: bob@example.net\r\n\r\n",
        b"From: ann@example.org\rFrom: bob@example.net\r\n\r\n",
        b"From: ann@example.org\nFROM : bob@example.net\n\n",
        b"From: ann@example.org\r\nSender: ann@example.org, bob@example.net\r\n\r\n",
        b"From: ann@example.org\r\nSender: a@b.c\r\nSender: d@e.f\r\n\r\n",
        b"From: ann@example.org@example.net\r\n\r\n",
        b'From: "ann@example.org x"@example.net\r\n\r\n',
        b"From: ann\x01@example.org\r\n\r\n",
        b"From: =?utf-8?Q?boss=40bank.example?=@example.org\r\n\r\n",
        b"From: \xe4@example.org\r\n\r\n",
        b"From: " + b"a@example.org," * 101 + b"\r\n\r\n",
        b"From: a@example.org" + b" " * 33_000 + b"\r\n\r\n",
    ],
)
def test_unclear_authors_are_refused(header):
    with pytest.raises(AddressError):
        author_addresses(Header.parse_message(normalize_line_ends(header)))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"From: Ann <ann@example.org>\r\n", b"From: Ann <ann@example.org>\r\n"),
        (b"From: ann@example.org (Ann)\r\n", b"From: ann@example.org (Ann)\r\n"),
        (b"From: a@b.c\r\nFrom: x\r\n", b"From: a@b.c\r\nFrom: x\r\n"),
        # Nobody can be told: it is from whom the account is.
        (b"", b"From: bob@example.net\r\n"),
        (b"From:\r\n", b"From: bob@example.net\r\n"),
        (b"From: <>\r\n", b"From: bob@example.net\r\n"),
        (b"From: Scanner <>\r\n", b'From: "Scanner" <bob@example.net>\r\n'),
        (b"From: Scanner\r\n", b'From: "Scanner" <bob@example.net>\r\n'),
        (b"From: Scan, Room 2\r\nTo: x\r\n", b'From: "Scan, Room 2" <bob@example.net>\r\nTo: x\r\n'),
        (b"From: undisclosed:;\r\n", b"From: bob@example.net\r\n"),
        (b"Sender: Scanner\r\n", b"From: bob@example.net\r\n"),
        # One can, but not by all readers.
        (b"From: Doe,\r\n Ann <ann@example.org>\r\n", b'From: "Doe, Ann" <ann@example.org>\r\n'),
        (b"From: ann@example.org Tan\r\n", b'From: "Tan" <ann@example.org>\r\n'),
        (b'From: A "B <ann@example.org>\r\n', b'From: "A \\"B" <ann@example.org>\r\n'),
        (b"From: a@b.c <x y@d.e>\r\n", b'From: "a@b.c" <y@d.e>\r\n'),
        (b"From: a@b.c d@e.f\r\n", b"From: a@b.c,\r\n d@e.f\r\n"),
        ("From: Dö, Ann <ann@example.org>\r\n".encode(), b"From: =?utf-8?B?RMO2LCBBbm4=?= <ann@example.org>\r\n"),
        (b"From: =?utf-8?Q?D=C3=B6?=, Ann <a@b.c>\r\n", b"From: =?utf-8?B?RMO2LCBBbm4=?= <a@b.c>\r\n"),
        (b"From: =?utf-8?Q?D=C3=B6,_Ann?= <a@b.c>\r\n", b"From: =?utf-8?B?RMO2LCBBbm4=?= <a@b.c>\r\n"),
        (b"From: =?utf-8?Q?D=C3=B6?= <a@b.c>\r\n", b"From: =?utf-8?Q?D=C3=B6?= <a@b.c>\r\n"),
        (b"From: a@b.c\r\nSender: root\r\n", b"From: a@b.c\r\n"),
        (b"From: bank@x.y <a@b.c>\r\n", b'From: "bank@x.y" <a@b.c>\r\n'),
        (b"From: <@x.y:a@b.c>\r\n", b"From: a@b.c\r\n"),
        (b"From: A\\ B <a@b.c>\r\n", b'From: "A\\\\ B" <a@b.c>\r\n'),
        (b"From: [A] B <a@b.c>\r\n", b'From: "[A] B" <a@b.c>\r\n'),
        (b"From: ; (A) B <a@b.c>\r\n", b'From: "B" <a@b.c>\r\n'),
        (b"From: a@b.c\r\nSender: Doe, Ann <d@b.c>\r\n", b'From: a@b.c\r\nSender: "Doe, Ann" <d@b.c>\r\n'),
        (b"From: a@b.c\r\nSender: Ann <d@b.c>\r\n", b"From: a@b.c\r\nSender: Ann <d@b.c>\r\n"),
    ],
)
def test_a_from_that_others_can_not_read_is_written_anew(fields, expected):
    completed = complete_authors(Header.parse(DATE + fields + b"\r\n"), BOB)
    assert completed.block == DATE + expected + b"\r\n"
    assert Header.parse(completed.block) == completed
    assert complete_authors(completed, ANN) is completed
