"""FETCH: every item, every form of section, what is marked seen and fetched."""

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailsuite.mail.header import header_fields
from mailsuite.store.flags import FLAGGED, SEEN
from retrieval.imap.fetch_items import Section
from retrieval.imap.sections import header_reader
from retrieval.imap.verbs.fetch import READY_OCTETS
from retrieval.mail_values import Refused
from retrieval.pace import TURN_OCTETS

SIMPLE = b"From: Bob <bob@example.org>\r\nTo: ann@example.org\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"
PREFIX = b"Return-Path: <bob@example.org>\r\n"
NESTED = (
    b"Subject: outer\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n"
    b"\r\n"
    b"preamble\r\n"
    b"--b\r\n"
    b"Content-Type: text/plain\r\n"
    b"\r\n"
    b"first\r\n"
    b"--b\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n"
    b"Subject: inner\r\n"
    b"X-Two: 2\r\n"
    b"Content-Type: multipart/alternative; boundary=c\r\n"
    b"\r\n"
    b"--c\r\n"
    b"Content-Language: en\r\n"
    b"\r\n"
    b"deep one\r\n"
    b"--c\r\n"
    b"\r\n"
    b"deep two\r\n"
    b"--c--\r\n"
    b"--b--\r\n"
)


def fetched(client, text: str) -> bytes:
    """The answer to one FETCH without its tagged line, which must be OK."""
    client.send(f"t FETCH {text}\r\n".encode())
    answer, _, end = client.take().rpartition(b"t OK ")
    assert end == b"Completed\r\n", (answer, end)
    return answer


def test_simple_items(client, mailbox):
    zone = timezone(timedelta(hours=2))
    mailbox.deliver(SIMPLE, prefix=PREFIX, internal_date=datetime(2026, 2, 1, 0, 30, 5, tzinfo=zone), flags=FLAGGED)
    mailbox.deliver(SIMPLE, internal_date=datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), keywords="$b a")
    client.select()
    envelope = (
        '(NIL "Lunch" (("Bob" NIL "bob" "example.org")) (("Bob" NIL "bob" "example.org")) '
        '(("Bob" NIL "bob" "example.org")) ((NIL NIL "ann" "example.org")) NIL NIL NIL NIL)'
    )
    size = len(PREFIX + SIMPLE)
    assert client.command("FETCH 1 ALL")[0] == (
        '* 1 FETCH (FLAGS (\\Flagged \\Recent) INTERNALDATE "31-Jan-2026 22:30:05 +0000" '
        f"RFC822.SIZE {size} ENVELOPE {envelope})"
    )
    assert client.command("UID FETCH 2 fast")[0] == (
        f'* 2 FETCH (UID 2 FLAGS (\\Recent $b a) INTERNALDATE "31-Dec-1999 23:59:59 +0000" RFC822.SIZE {len(SIMPLE)})'
    )
    body = '("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 10 1'
    assert client.command("FETCH 2 (UID BODY BODYSTRUCTURE)")[0].upper() == (
        f"* 2 FETCH (UID 2 BODY {body}) BODYSTRUCTURE {body} NIL NIL NIL NIL))"
    )
    assert client.command("FETCH 1:2 (UID FLAGS)")[:-1] == [
        "* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))",
        "* 2 FETCH (UID 2 FLAGS (\\Recent $b a))",
    ]
    assert client.command("FETCH 2 FULL")[0].count(" BODY (") == 1
    assert client.command("FETCH 2 (FLAGS FLAGS)")[0] == "* 2 FETCH (FLAGS (\\Recent $b a))"


@pytest.mark.parametrize(
    ("section", "octets"),
    [
        ("", NESTED),
        ("HEADER", NESTED[: NESTED.index(b"preamble")]),
        ("TEXT", NESTED[NESTED.index(b"preamble") :]),
        ("HEADER.FIELDS (subject X-None)", b"Subject: outer\r\n\r\n"),
        ('HEADER.FIELDS ("Subject")', b"Subject: outer\r\n\r\n"),
        ("HEADER.FIELDS.NOT (SUBJECT)", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"),
        ("1", b"first"),
        ("1.MIME", b"Content-Type: text/plain\r\n\r\n"),
        ("2", NESTED[NESTED.index(b"Subject: inner") : NESTED.index(b"\r\n--b--")]),
        ("2.MIME", b"Content-Type: message/rfc822\r\n\r\n"),
        ("2.HEADER", NESTED[NESTED.index(b"Subject: inner") : NESTED.index(b"--c\r\nContent-Lan")]),
        ("2.HEADER.FIELDS (X-TWO)", b"X-Two: 2\r\n\r\n"),
        ("2.TEXT", NESTED[NESTED.index(b"--c\r\nContent-Lan") : NESTED.index(b"\r\n--b--")]),
        ("2.1", b"deep one"),
        ("2.1.MIME", b"Content-Language: en\r\n\r\n"),
        ("2.2", b"deep two"),
        ("2.2.MIME", b"\r\n"),
    ],
)
@pytest.mark.parametrize("prefix", [b"", PREFIX])
def test_sections(client, mailbox, section, octets, prefix):
    mailbox.deliver(NESTED, prefix=prefix)
    client.select()
    if section in ("", "HEADER") or section.startswith("HEADER.FIELDS.NOT"):
        octets = prefix + octets
    label = section.replace('"', "").encode()
    answer = fetched(client, f"1 BODY.PEEK[{section}]")
    assert answer == b"* 1 FETCH (BODY[%b] {%d}\r\n%b)\r\n" % (label, len(octets), octets)
    for first, count in ((0, 5), (3, 4), (len(octets) - 1, 10), (len(octets), 3), (10**9, 1), (0, 2**32 - 1)):
        part = octets[first : first + count]
        answer = fetched(client, f"1 BODY.PEEK[{section}]<{first}.{count}>")
        assert answer == b"* 1 FETCH (BODY[%b]<%d> {%d}\r\n%b)\r\n" % (label, first, len(part), part)


@pytest.mark.parametrize("section", ["3", "1.1", "1.HEADER", "1.TEXT", "2.3", "2.1.HEADER", "9.9.9", "2.1.1"])
def test_sections_that_are_not_there_are_nil(client, mailbox, section):
    mailbox.deliver(NESTED)
    client.select()
    assert fetched(client, f"1 BODY.PEEK[{section}]") == b"* 1 FETCH (BODY[%b] NIL)\r\n" % section.encode()


def test_a_message_without_parts_is_its_own_part_1(client, mailbox):
    mailbox.deliver(SIMPLE, prefix=PREFIX)
    client.select()
    assert fetched(client, "1 BODY.PEEK[1]") == b"* 1 FETCH (BODY[1] {10}\r\nAt noon?\r\n)\r\n"
    header = PREFIX + SIMPLE[: -len(b"At noon?\r\n")]
    assert fetched(client, "1 BODY.PEEK[1.MIME]") == b"* 1 FETCH (BODY[1.MIME] {%d}\r\n%b)\r\n" % (len(header), header)


def test_a_header_too_large_for_its_row_is_read_from_the_message(client, mailbox):
    large = b"X-Large: " + b"x" * 20_000 + b"\r\n" + SIMPLE
    mailbox.deliver(large, prefix=PREFIX)
    client.select()
    header = PREFIX + large[: -len(b"At noon?\r\n")]
    assert fetched(client, "1 BODY.PEEK[HEADER]") == b"* 1 FETCH (BODY[HEADER] {%d}\r\n%b)\r\n" % (len(header), header)
    picked = b"Subject: Lunch\r\n\r\n"
    answer = fetched(client, "1 BODY.PEEK[HEADER.FIELDS (Subject)]")
    assert answer == b"* 1 FETCH (BODY[HEADER.FIELDS (Subject)] {%d}\r\n%b)\r\n" % (len(picked), picked)


def test_old_names_of_sections(client, mailbox):
    mailbox.deliver(SIMPLE)
    client.select()
    header, text = SIMPLE[: -len(b"At noon?\r\n")], b"At noon?\r\n"
    assert fetched(client, "1 RFC822.HEADER") == b"* 1 FETCH (RFC822.HEADER {%d}\r\n%b)\r\n" % (len(header), header)
    assert client.command("FETCH 1 FLAGS")[0] == "* 1 FETCH (FLAGS (\\Recent))"
    assert fetched(client, "1 RFC822.TEXT") == (
        b"* 1 FETCH (RFC822.TEXT {10}\r\n%b FLAGS (\\Seen \\Recent))\r\n" % text
    )
    assert fetched(client, "1 RFC822") == b"* 1 FETCH (RFC822 {%d}\r\n%b)\r\n" % (len(SIMPLE), SIMPLE)


def test_a_large_message_comes_in_pieces_and_whole(client, mailbox):
    large = SIMPLE + b"0123456789abcdef" * 60_000
    mailbox.deliver(large)
    mailbox.deliver(SIMPLE)
    client.select()
    both = b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\n* 2 FETCH (BODY[] {%d}\r\n%b)\r\n"
    assert fetched(client, "1:2 BODY.PEEK[]") == both % (len(large), large, len(SIMPLE), SIMPLE)
    part = large[300_000:900_000]
    assert fetched(client, "1 BODY.PEEK[]<300000.600000>") == (b"* 1 FETCH (BODY[]<300000> {600000}\r\n%b)\r\n" % part)


def test_what_is_asked_for_over_and_over_comes_in_pieces_too(client, mailbox):
    """Two hundred times the headers, or the text, of some messages were gigabytes if they were made at once."""
    header = b"X-Large: " + b"x" * 12_000 + b"\r\n" + SIMPLE[: -len(b"At noon?\r\n")]
    text = b"0123456789abcdef" * 1_200
    for _ in range(2):
        mailbox.deliver(header + text)
    client.select()
    for section, whole in (("HEADER", header), ("TEXT", text)):
        items = " ".join(f"BODY.PEEK[{section}]<{first}.200000>" for first in range(200))
        answers = [
            b"BODY[%b]<%d> {%d}\r\n%b" % (section.encode(), first, len(whole) - first, whole[first:])
            for first in range(200)
        ]
        told = b" ".join(answers)
        assert fetched(client, f"1:2 ({items})") == b"".join(b"* %d FETCH (%b)\r\n" % (n, told) for n in (1, 2))
    assert client.longest < 3 * 1024 * 1024


def test_reading_sets_seen_once_and_tells(client, mailbox):
    mailbox.deliver(SIMPLE)
    client.select()
    client.dialog(
        "C: a FETCH 1 BODY[TEXT]",
        "S: * 1 FETCH (BODY[TEXT] {10}",
        "S: At noon?",
        "S:  FLAGS (\\Seen \\Recent))",
        "S: a OK Completed",
        "C: b UID FETCH 1 (FLAGS BODY[TEXT])",
        "S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Recent) BODY[TEXT] {10}",
        "S: At noon?",
        "S: )",
        "S: b OK Completed",
        "C: c NOOP",
        "S: c OK NOOP completed",
    )
    assert mailbox.folders["INBOX"].messages[1].flags == SEEN


def test_the_first_reading_is_noted_once(client, mailbox):
    for _ in range(5):
        mailbox.deliver(SIMPLE)
    client.command('ID ("name" "Reader" "version" "7")')
    client.select()
    client.command("FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[HEADER])")
    assert mailbox.fetched == []
    client.command("FETCH 2 BODY.PEEK[1]")
    client.command("FETCH 1:3 BODY.PEEK[]<0.5>")
    assert mailbox.fetched == [(uid, "IMAP Reader 7") for uid in (2, 1, 3)]


def test_which_messages(client, mailbox):
    for _ in range(6):
        mailbox.deliver(SIMPLE)
    client.select()
    client.command("STORE 2,5 +FLAGS.SILENT (\\Deleted)")
    client.command("EXPUNGE")  # uids 1 3 4 6

    def uids(command: str) -> list[int]:
        *lines, end = client.command(command)
        assert end == "OK Completed"
        return [int(line.split("UID ")[1].rstrip(")")) for line in lines]

    assert uids("FETCH 1:* UID") == [1, 3, 4, 6]
    assert uids("FETCH *:2 UID") == [3, 4, 6]
    assert uids("FETCH * UID") == [6]
    assert uids("FETCH 4,1:2,2 UID") == [1, 3, 6]
    assert uids("UID FETCH 2:5 UID") == [3, 4]
    assert uids("UID FETCH 5:* UID") == [6]
    assert uids("UID FETCH 100:* UID") == [6]
    assert uids("UID FETCH *:100 UID") == [6]
    assert uids("UID FETCH 2,5,99 UID") == []
    assert uids("UID FETCH 4294967295:1 (UID)") == [1, 3, 4, 6]
    for wrong in ("5", "1:5", "0", "0:1", "1,", ",", "1:2:3", "4294967296", "-1", "1:", "a"):
        assert client.command(f"FETCH {wrong} UID")[-1].startswith("BAD "), wrong


def test_an_empty_folder(client):
    client.select()
    client.dialog(
        "C: a UID FETCH 1:* (FLAGS)",
        "S: a OK Completed",
        "C: b FETCH 1:* (FLAGS)",
        "S: b BAD No message has that sequence number",
        "C: c UID SEARCH ALL",
        "S: * SEARCH",
        "S: c OK Completed",
    )


WRONG_ITEMS = """
() (ALL) NOTHING BODY[ BODY[]x BODY[1 BODY[0] BODY[1.] BODY[MIME] BODY[FOO] BODY[1.FOO]
BODY[HEADER.FIELDS] BODY[]<0> BODY[]<0.0> BODY[]<.5> BODY[]<-1.5> BODY[]<4294967296.1> BODY.PEEK RFC822.PEEK
BINARY[1] MODSEQ FLAGS(UID)
""".split()
SPACED = [
    "(" * 60_000,
    "(FLAGS",
    "FLAGS)",
    "",
    "( )",
    "(FLAGS UID",
    "(FLAGS\tUID)",
    "BODY[HEADER.FIELDS ()]",
    "BODY[HEADER.FIELDS ( )]",
    "BODY[HEADER.FIELDS (a:b)]",
    "BODY[HEADER.FIELDS a]",
]
LONG = ["BODY[" + "1." * 5000 + "1]", "(" + "FLAGS UID " * 3000 + "UID)"]


@pytest.mark.parametrize("items", [*WRONG_ITEMS, *SPACED, *LONG], ids=lambda items: items[:30])
def test_items_that_there_are_not(client, mailbox, items):
    mailbox.deliver(SIMPLE)
    client.select()
    answer = client.command(f"FETCH 1 {items}")
    assert len(answer) == 1 and answer[0].startswith("NO [LIMIT] " if items in LONG else "BAD "), answer


@pytest.mark.parametrize(
    ("date", "answer"),
    [
        ("01-Jan-0001 00:00:00 +0000", "01-Jan-0001 00:00:00 +0000"),
        (" 1-Jan-0999 12:00:00 +0100", "01-Jan-0999 11:00:00 +0000"),
        ("31-Dec-9999 23:59:59 +0000", "31-Dec-9999 23:59:59 +0000"),
        # "No date" of .NET, written in the zone of its user
        ("01-Jan-0001 00:00:00 +0100", "01-Jan-0001 00:00:00 +0000"),
        ("31-Dec-9999 23:59:59 -0800", "31-Dec-9999 23:59:59 +0000"),
    ],
)
def test_a_year_has_four_digits(client, date, answer):
    client.send(f'a APPEND INBOX "{date}" {{15+}}\r\nSubject: x\r\n\r\ny\r\n'.encode())
    assert client.take().startswith(b"a OK ")
    client.select()
    assert client.command("FETCH * INTERNALDATE")[0] == f'* 1 FETCH (INTERNALDATE "{answer}")'


def test_a_message_shorter_than_its_row_breaks_the_connection_off(client, mailbox, monkeypatch):
    mailbox.deliver(SIMPLE + b"x" * 600_000)
    client.select()
    octets = client.session.mail_store.octets

    async def short(row, start, end):
        return await octets(row, start, min(end, 400_000))

    monkeypatch.setattr(client.session.mail_store, "octets", short)
    client.send(b"a FETCH 1 BODY.PEEK[]\r\nb NOOP\r\n")
    said = client.take()
    assert said.startswith(b"* 1 FETCH (BODY[] {") and b"a OK" not in said and b"a NO" not in said
    assert client.session.closed


def test_a_message_expunged_amid_a_fetch_is_passed_over(client, mailbox, monkeypatch):
    for _ in range(3):
        mailbox.deliver(SIMPLE)
    mailbox.folders["INBOX"].recent_uid = 9
    client.select()
    octets = client.session.mail_store.octets

    async def gone(row, start, end):
        if row.uid == 2:
            raise Refused("nonexistent", "the message is gone")
        return await octets(row, start, end)

    monkeypatch.setattr(client.session.mail_store, "octets", gone)
    client.dialog(
        "C: a FETCH 1:3 (UID BODY.PEEK[TEXT])",
        *("S: * 1 FETCH (UID 1 BODY[TEXT] {10}", "S: At noon?", "S: )"),
        *("S: * 3 FETCH (UID 3 BODY[TEXT] {10}", "S: At noon?", "S: )"),
        "S: a NO [EXPUNGEISSUED] *",
        "C: b NOOP",
        "S: * 2 EXPUNGE",
        "S: b OK NOOP completed",
    )


def test_a_message_that_can_not_be_read_is_refused_properly(client, mailbox, monkeypatch):
    mailbox.deliver(SIMPLE)
    client.select()

    async def broken(row, start, end):
        raise OSError("the disk is gone")

    monkeypatch.setattr(client.session.mail_store, "octets", broken)
    client.dialog(
        "C: a FETCH 1 BODY.PEEK[]",
        "S: a NO [SERVERBUG] An error of ours, logged as s1.1",
        "C: b FETCH 1 FLAGS",
        "S: * 1 FETCH (FLAGS (\\Recent))",
        "S: b OK Completed",
    )


def test_fields_are_picked_as_a_plain_reading_of_the_header_does():
    draw = random.Random(5322)
    lines = [
        b"To: a",
        b"to : b",
        b" folded",
        b"\tfolded: x",
        b"TOP: c",
        b"X-To: d",
        b"Cc:",
        b"From me",
        b": e",
        b"To",
        b"",
    ]
    for _ in range(2000):
        block = b"".join(draw.choice(lines) + draw.choice([b"\r\n", b"\n"]) for _ in range(draw.randint(0, 8)))
        block += draw.choice([b"\r\n", b"", b"To: end", b"end"])
        names = tuple(draw.sample([b"To", b"CC", b"x-to", b"None"], 2))
        read = header_reader(Section(b"", text="HEADER.FIELDS", fields=names))
        lower = [name.lower() for name in names]
        assert read(block) == header_fields(block, lower, exclude=False), block
        many = header_reader(Section(b"", text="HEADER.FIELDS", fields=(*names, *(b"X-%d" % n for n in range(50)))))
        assert many(block) == read(block), block


def test_flags_cost_what_the_messages_cost_not_what_the_folder_has_of_keywords(client, mailbox):
    for number in range(300):
        mailbox.deliver(SIMPLE, keywords=f"k{number}")
    client.select()
    view, looked = client.session._context.view, []

    class Noting(list):
        def __getitem__(self, index):
            looked.append(index)
            return super().__getitem__(index)

        def __iter__(self):
            raise AssertionError("the whole table")

    view.table = Noting(view.table)
    assert client.command("FETCH 7 (FLAGS)") == ["* 7 FETCH (FLAGS (\\Recent k6))", "OK Completed"]
    assert len(looked) == 1


@pytest.mark.parametrize("size", [10_000, 100_000])  # at hand in a row; to be read
def test_others_have_their_turn_however_little_is_answered(client, mailbox, size):
    """Two hundred sections of a large header were found without a pause."""
    for _ in range(3):
        mailbox.deliver(b"X-Large: " + b"x" * size + b"\r\n" + SIMPLE)
    client.select()
    pace, names = client.session._context.pace, " ".join(f"X-{number}" for number in range(40))
    items = " ".join(f"BODY.PEEK[HEADER.FIELDS ({names} Y-{number})]" for number in range(100))
    before = pace.turns
    assert client.command(f"FETCH 1:3 ({items})")[-1] == "OK Completed"
    assert pace.turns - before >= 3 * 100 * size // (3 * TURN_OCTETS)
    assert pace.longest <= TURN_OCTETS + READY_OCTETS + size


def test_a_section_of_too_many_fields(client, mailbox):
    mailbox.deliver(SIMPLE)
    client.select()
    names = " ".join(f"X-{number}" for number in range(1001))
    answer = client.command(f"FETCH 1 BODY.PEEK[HEADER.FIELDS ({names})]")
    assert answer == ["NO [LIMIT] A section may name 1000 fields"]
