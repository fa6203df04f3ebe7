from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from random import Random

import pytest

from mailsuite.mail.message import ParseLimits, parse_message
from mailsuite.mail.structure import decode_parts, encode_parts, section_range

PLAIN = (
    b"Received: from a\r\n\tby b; now\r\n"
    b"Received: from c\r\n"
    b"Delivered-To: Bob@example.net\r\n"
    b"Delivered-To: <list@example.net>\r\n"
    b"Date: Mon, 24 Nov 2025 10:00:00 +0100\r\n"
    b"From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.org>\r\n"
    b"To: Bob <bob@example.net>,\r\n C <c@example.net>\r\n"
    b"Cc: d@example.net\r\n"
    b"Subject: =?utf-8?B?R3LDvA==?=\r\n =?utf-8?B?w59l?= again\r\n"
    b"Message-ID: <id@example.org>\r\n"
    b"In-Reply-To: <one@example.org> from you\r\n"
    b"References: <zero@example.org>\r\n\t<one@example.org>\r\n"
    b"Auto-Submitted: Auto-Replied; why\r\n"
    b"List-Id: The list <the.list.example.net>\r\n"
    b"\r\nfirst\r\nsecond\r\n"
)


def test_columns_of_a_message():
    message = parse_message(PLAIN)
    assert message.header_octets == PLAIN.index(b"first")
    assert not message.truncated
    assert message.subject == "Grüße again"
    assert message.from_text == "Jörg <joerg@example.org>"
    assert message.to_text == "Bob <bob@example.net>, C <c@example.net>"
    assert message.cc_text == "d@example.net"
    assert message.message_id == "<id@example.org>"
    assert message.in_reply_to == "<one@example.org>"
    assert message.references == ("<zero@example.org>", "<one@example.org>")
    assert message.sent_at == datetime(2025, 11, 24, 9, tzinfo=UTC)


def test_columns_of_an_empty_message():
    message = parse_message(b"")
    assert (message.header_octets, message.sent_at) == (0, None)
    assert message.envelope_structure == b"(" + b" ".join([b"NIL"] * 10) + b")"
    assert {message.subject, message.message_id, message.in_reply_to} == {""}
    assert message.references == ()


def test_envelope(read_imap):
    ann, bob = [None, None, b"ann", b"example.org"], [b"Bob", None, b"bob", b"example.net"]
    octets = (
        b"From: ann@example.org\r\nTo: Bob <bob@example.net>\r\nTo: Team: ann@example.org;\r\nReply-To: \r\n"
        b'Sender: Bob <bob@example.net>\r\nSubject: a "b" \\ c\r\n\td\r\nDate: now\xfc\r\nMessage-ID: <a\rb\0>\r\n\r\n'
    )
    assert read_imap(parse_message(octets).envelope_structure) == [
        b"now\xfc", b'a "b" \\ c\td', [ann], [bob], [ann],
        [bob, [None, None, b"Team", None], ann, [None] * 4], None, None, None, b"<a b>",
    ]  # fmt: skip


NAMES = ["", "Ann", "Ann, B", 'A "q" B', "J. R. Doe", "Jörg Ü", "a@b", "(paren)", "semi;colon", "back\\slash"]


@pytest.mark.parametrize("name", NAMES)
def test_standard_library_reads_the_same_addresses(name, read_imap):
    written = EmailMessage()
    written["From"] = f"{quote(name)} <ann@example.org>" if name else "ann@example.org"
    written["To"] = ", ".join([f"{quote(other)} <x{at}@example.net>" for at, other in enumerate(NAMES) if other])
    message = parse_message(written.as_bytes())
    envelope = read_imap(message.envelope_structure)
    for field, ours in (("From", envelope[2]), ("To", envelope[5])):
        theirs = [(shown, address) for shown, address in getaddresses([str(written[field])])]
        assert [(decoded(entry[0]), f"{entry[2].decode()}@{entry[3].decode()}") for entry in ours] == theirs


def quote(name):
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def decoded(name):
    return str(make_header(decode_header(name.decode()))) if name else ""


def test_texts_are_cut_and_free_of_controls():
    octets = b"Subject: a\x07\x00b\tc\xc2\x85" + b"x" * 5_000 + b"\r\nTo: " + b"t@example.org, " * 500 + b"\r\n"
    message = parse_message(octets + b"Message-ID: <" + b"i" * 5_000 + b">\r\n\r\n")
    assert message.subject == "ab c" + "x" * 496
    assert len(message.to_text) == 1_000
    assert len(message.message_id) == 998


def test_many_references_keep_root_and_newest():
    octets = b"References: " + b"\r\n ".join(b"<%d@example.org>" % at for at in range(500)) + b"\r\n\r\n"
    references = parse_message(octets).references
    assert len(references) == 100
    assert (references[0], references[1], references[-1]) == (
        "<0@example.org>",
        "<401@example.org>",
        "<499@example.org>",
    )


def test_header_past_its_limit_still_tells_its_beginning():
    octets = b"Subject: early\r\n" + b"X: y\r\n" * 100 + b"\r\nbody\r\n"
    message = parse_message(octets, ParseLimits(header_octets=100))
    assert message.truncated
    assert message.subject == "early"
    assert octets[message.header_octets :] == b"body\r\n"


SEEDS = [
    PLAIN,
    b'From: "a" <b@c> (d)\nContent-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: message/rfc822\n\n'
    b"Subject: =?utf-8?q?a?=\nContent-Type: multipart/digest; boundary=y\n\n--y\n\nA: b\n\nc\n--y--\n--x\n"
    b"Content-Disposition: attachment; filename*=utf-8''%41\n\nz\n--x--\n",
]


def _check(octets, read_imap):
    message = parse_message(octets)
    assert len(read_imap(message.envelope_structure)) == 10
    read_imap(message.body)
    read_imap(message.body_structure)
    assert decode_parts(encode_parts(message.parts)) == message.parts
    assert section_range(message.parts, (), None) == (0, len(octets))
    _check_part(message.parts, 0, len(octets))


def _check_part(part, start, end):
    assert start <= part.header_start <= part.body_start <= part.end <= end
    for child in part.children:
        _check_part(child, part.body_start, part.end)


@pytest.mark.parametrize("seed", SEEDS)
def test_message_cut_anywhere_is_described(seed, read_imap):
    for end in range(len(seed) + 1):
        _check(seed[:end], read_imap)
        _check(seed[len(seed) - end :], read_imap)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_message_is_described(seed, read_imap):
    random = Random(5321)
    for _ in range(500):
        octets = bytearray(seed)
        for _ in range(random.randint(1, 8)):
            octets[random.randrange(len(octets))] = random.choice(b'\r\n\0 \t"\\()<>@,;:=-?/\xff\xc3xy')
        _check(bytes(octets), read_imap)


def test_several_fields_of_a_name_count_as_one():
    message = parse_message(
        b"From: a@x\r\nSubject: =?utf-8?q?one?=\r\nTo: b@x\r\nFrom: c@x\r\nTo: =?utf-8?q?d?= <d@x>\r\nSubject: two\r\n"
        b"Cc: e@x\r\nCc: f@x\r\n\r\n"
    )
    assert message.from_text == "a@x, c@x"
    assert message.subject == "one two"
    assert (message.to_text, message.cc_text) == ("b@x, d <d@x>", "e@x, f@x")
    assert len(parse_message(b"To: b@x\r\n" * 1_500 + b"\r\n").to_text) == 1_000


def test_texts_are_cut_at_characters_not_at_octets():
    """Some mailers write each character as a word of its own."""
    words = b" ".join([b"=?iso-2022-jp?b?GyRCRnwbKEI=?="] * 900)
    assert parse_message(b"To: " + words + b"\r\n\r\n").to_text == "日" * 900
