"""SEARCH: every key, their combinations, and how little is read for them."""

import dataclasses
from datetime import UTC, datetime

import pytest

from mailsuite.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from retrieval.imap import searching
from retrieval.pace import TURN_OCTETS

FIRST = (
    b"Date: Sun, 1 Feb 2026 23:30:00 -0500\r\nFrom: Bob <bob@example.org>\r\nTo: ann@example.org\r\n"
    b"Subject: =?utf-8?q?Caf=C3=A9?= at noon\r\nX-Colour: =?utf-8?q?gr=C3=BCn?=\r\n\r\nShall we?\r\n"
)
SECOND = (
    b"Date: 10 Jan 2026 08:00:00 +0000\r\nFrom: carol@example.net\r\nTo: list@example.org\r\nCc: dave@example.org\r\n"
    b"Subject: Minutes\r\n\r\nThe caf\xc3\xa9 was closed. " + b"x" * 500 + b"\r\n"
)
THIRD = b"Subject: no date\r\nBcc: eve@example.org\r\nX-Colour:\r\n\r\n\r\n"


@pytest.fixture
def found(client, mailbox):
    """`found(keys)` are the uids; they are 1, 3 and 4, so that no number is right by chance."""
    mailbox.deliver(FIRST, flags=SEEN | ANSWERED, internal_date=datetime(2026, 2, 2, 4, 30, tzinfo=UTC))
    mailbox.deliver(b"Subject: gone\r\n\r\n", flags=DELETED)
    mailbox.deliver(SECOND, flags=FLAGGED, keywords="$Work", internal_date=datetime(2026, 1, 10, 23, 59, tzinfo=UTC))
    mailbox.folders["INBOX"].recent_uid = 4
    mailbox.deliver(THIRD, flags=DRAFT, internal_date=datetime(2026, 2, 3, tzinfo=UTC))
    client.select()
    client.command("EXPUNGE")

    def search(keys: str) -> list[int]:
        answer, end = client.command(f"UID SEARCH {keys}")
        assert end == "OK Completed"
        return [int(number) for number in answer.removeprefix("* SEARCH").split()]

    search.client = client
    return search


@pytest.mark.parametrize(
    ("keys", "uids"),
    [
        ("ALL", [1, 3, 4]),
        ("1", [1]),
        ("2:3", [3, 4]),
        ("*", [4]),
        ("*:2", [3, 4]),
        ("2:100", [3, 4]),
        ("7,99:101", []),
        ("UID 3:*", [3, 4]),
        ("UID 2", []),
        ("UID 99:*", [4]),
        ("SEEN", [1]),
        ("UNSEEN", [3, 4]),
        ("ANSWERED", [1]),
        ("UNANSWERED", [3, 4]),
        ("FLAGGED", [3]),
        ("UNFLAGGED", [1, 4]),
        ("DRAFT", [4]),
        ("UNDRAFT", [1, 3]),
        ("DELETED", []),
        ("UNDELETED", [1, 3, 4]),
        ("RECENT", [4]),
        ("NEW", [4]),
        ("OLD", [1, 3]),
        ("KEYWORD $work", [3]),
        ("UNKEYWORD $Work", [1, 4]),
        ("KEYWORD none", []),
        ("ON 2-Feb-2026", [1]),
        ("BEFORE 2-feb-2026", [3]),
        ('SINCE "2-Feb-2026"', [1, 4]),
        ("SINCE 10-Jan-2026 BEFORE 11-Jan-2026", [3]),
        ("SENTON 1-Feb-2026", [1]),
        ("SENTBEFORE 1-Feb-2026", [3]),
        ("SENTSINCE 1-Jan-2026", [1, 3]),
        ("NOT SENTSINCE 1-Jan-2026", [4]),
        ("LARGER 500", [3]),
        ("SMALLER 100", [4]),
        ("SMALLER 4294967296", [1, 3, 4]),
        ("LARGER 9223372036854775807", []),
        (f"LARGER {len(SECOND)}", []),
        (f"SMALLER {len(SECOND)}", [1, 4]),
        ("FROM bob", [1]),
        ("FROM EXAMPLE", [1, 3]),
        ('TO "list@"', [3]),
        ("CC dave", [3]),
        ("BCC eve", [4]),
        ("SUBJECT CAF\xc3\xa9", None),
        ("SUBJECT {5+}\r\nCAF\xc3\x89", [1]),
        ('SUBJECT "caf\xc3\xa9"', [1]),
        ('CHARSET utf-8 SUBJECT "CAF\xc3\x89"', [1]),
        ("CHARSET US-ASCII SUBJECT minutes", [3]),
        ('SUBJECT ""', [1, 3, 4]),
        ('FROM ""', [1, 3]),
        ('BODY ""', [1, 3, 4]),
        ("BODY shall", [1]),
        ('TEXT "caf\xc3\xa9"', [3]),
        ("TEXT bcc", [4]),
        ("HEADER X-Colour {4+}\r\ngr\xc3\xbc", [1]),
        ('HEADER x-colour ""', [1, 4]),
        ("HEADER X-None a", []),
        ("HEADER Date Feb", [1]),
        ("NOT SEEN", [3, 4]),
        ("NOT NOT SEEN", [1]),
        ("OR SEEN FLAGGED", [1, 3]),
        ("OR BODY shall OR FLAGGED LARGER 100000", [1, 3]),
        ("(SEEN)", [1]),
        ("(OR (SEEN ANSWERED) (FLAGGED)) NOT 1", [3]),
        ("UNSEEN (NOT (FLAGGED LARGER 10))", [4]),
        ("UID 1:9 SINCE 1-Jan-2026 NOT DELETED", [1, 3, 4]),
        ("seen all", [1]),
        ("OR OR BODY shall FLAGGED LARGER 100000", [1, 3]),
        ("OR OR SEEN KEYWORD none OR FLAGGED KEYWORD none", [1, 3]),
        ("NOT OR SEEN OR KEYWORD none (OR FLAGGED KEYWORD none)", [4]),
        ("OR SEEN NOT OR FLAGGED SEEN", [1, 4]),
        ("  SEEN   ALL  ", [1]),
        ("( OR ( SEEN   ANSWERED )  ( FLAGGED ) )  NOT  1", [3]),
        ("CHARSET  UTF-8  SUBJECT  minutes", [3]),
    ],
)
def test_keys(found, keys, uids):
    if uids is None:
        assert found.client.command(f"UID SEARCH {keys}")[-1].startswith("BAD ")
        return
    assert found(keys) == uids


def test_sequence_numbers_are_answered_without_uid(found):
    assert found.client.command("SEARCH UNSEEN") == ["* SEARCH 2 3", "OK Completed"]
    assert found.client.command("SEARCH UID 3") == ["* SEARCH 2", "OK Completed"]


def test_cheap_keys_spare_the_dear_ones(found, monkeypatch):
    store, asked = found.client.session.mail_store, []
    search_text, rows = store.search_text, store.rows

    async def noting_text(folder_id, uids, needle, *, where, budget):
        asked.append((where, list(uids)))
        return await search_text(folder_id, uids, needle, where=where, budget=budget)

    def noting_rows(folder_id, uids, fields):
        asked.append((tuple(fields), list(uids)))
        return rows(folder_id, uids, fields)

    monkeypatch.setattr(store, "search_text", noting_text)
    monkeypatch.setattr(store, "rows", noting_rows)
    assert found("TEXT caf SINCE 1-Jan-2026 UNSEEN UNKEYWORD x") == [3]
    assert asked == [((), [3, 4]), ("text", [3, 4])]
    asked.clear()
    assert found("TEXT x KEYWORD none") == []
    assert found("OR BODY shall SEEN UID 1") == [1]
    assert asked == []


@pytest.mark.parametrize("count", [60, 400])
@pytest.mark.parametrize(
    "chain",
    [
        lambda words: "OR " * (len(words) - 1) + " ".join(words),
        lambda words: " ".join(f"OR {word}" for word in words[:-1]) + f" {words[-1]}",
    ],
    ids=["left", "right"],
)
def test_a_long_chain_of_or(found, chain, count):
    words = [f"SUBJECT none{number}" for number in range(count - 1)] + ["SUBJECT minutes"]
    assert found(chain(words)) == [3]
    assert found(f"NOT ({chain(words)})") == [1, 4]


def test_a_long_chain_of_or_in_parentheses(found):
    words = [f"(SUBJECT none{number})" for number in range(59)]
    assert found("".join(f"OR {word} (" for word in words) + "SUBJECT minutes" + ")" * 59) == [3]


WRONG = [
    "",
    "(",
    "()",
    "(SEEN",
    "SEEN)",
    "NOT",
    "OR SEEN",
    "OR SEEN FLAGGED)",
    "BOGUS",
    "( )",
    "SEEN\tALL",
    "(SEEN)ALL",
    "KEYWORD",
    "0",
]
WRONG += [
    "LARGER x",
    "LARGER 9223372036854775808",
    "ON 31-Feb-2026",
    "ON 1-Foo-2026",
    "ON 2026-02-01",
    "SUBJECT",
    "HEADER a",
    "UID",
]
WRONG += ["UID a", 'SUBJECT "\xff"', "CHARSET UTF-8", "RETURN (COUNT) ALL", "MODSEQ 1"]
DEEP = [
    "NOT " * 10_000 + "SEEN",
    "OR " * 10_000,
    "SEEN " * 2_000 + "SEEN",
    "(" * 60_000,
    "(" * 30_000 + "ALL" + ")" * 30_000,
]


@pytest.mark.parametrize("keys", WRONG, ids=lambda keys: keys[:30])
def test_what_is_no_search(found, keys):
    answer = found.client.command(f"SEARCH {keys}")
    assert len(answer) == 1 and answer[0].startswith("BAD "), answer


@pytest.mark.parametrize("keys", DEEP, ids=lambda keys: keys[:30])
def test_what_is_too_much_of_a_search(found, keys):
    answer = found.client.command(f"SEARCH {keys}")
    assert len(answer) == 1 and answer[0].startswith("NO [LIMIT] "), answer


def test_messages_are_read_once_for_all_keys(found, monkeypatch):
    """Forty header keys were forty readings of the folder."""
    store, read = found.client.session.mail_store, []
    rows = store.rows

    async def noting(folder_id, uids, fields):
        async for some in rows(folder_id, uids, fields):
            read.extend(row.uid for row in some)
            yield some

    monkeypatch.setattr(store, "rows", noting)
    keys = " ".join(["HEADER Subject minutes"] * 20 + ["NOT HEADER X-None a"] * 20 + ["SENTON 10-Jan-2026"] * 5)
    assert found(keys) == [3]
    assert found(" ".join(["OR HEADER Subject nothing"] * 30) + " HEADER Subject minutes") == [3]
    assert read == [1, 3, 4] * 2


def test_a_search_over_more_than_it_may_look_at_is_refused(connect, mailbox):
    for _ in range(300):
        mailbox.deliver(FIRST)
    client = connect(search_octets=100_000).log_in().select()
    assert client.command("SEARCH HEADER X-Colour rot")[0].startswith("NO [LIMIT] The search is too large")
    assert client.command("SEARCH 1:20 HEADER X-Colour gr") == [
        "* SEARCH " + " ".join(map(str, range(1, 21))),
        "OK Completed",
    ]


def test_others_have_their_turn_while_a_search_goes_on(connect, mailbox):
    for _ in range(150):
        mailbox.deliver(SECOND)
    client = connect().log_in().select()
    pace, before = client.session._context.pace, client.session._context.pace.turns
    assert client.command("SEARCH " + " ".join(["HEADER Subject minutes"] * 400))[-1] == "OK Completed"
    assert pace.turns - before >= 150 * 400 * 64 // (2 * TURN_OCTETS) and pace.longest < 2 * TURN_OCTETS


def test_a_field_of_heaped_marks_is_folded_in_turns(connect, mailbox):
    mailbox.deliver(b"X-Marks: begin a" + "\u0323\u0301".encode() * 40_000 + b" end\r\n\r\n")
    client = connect().log_in().select()
    pace, before = client.session._context.pace, client.session._context.pace.turns
    assert client.command("SEARCH HEADER X-Marks END")[0] == "* SEARCH 1"
    assert client.command("SEARCH HEADER X-Marks Begin")[0] == "* SEARCH 1"
    assert pace.turns - before >= 2 * 80_000 // searching.DECODED_AT_ONCE


def test_a_search_ends_when_the_client_is_gone(connect, mailbox, monkeypatch):
    for _ in range(30):
        mailbox.deliver(SECOND)
    client = connect().log_in().select()
    store, read = client.session.mail_store, []
    rows = store.rows

    async def noting(folder_id, uids, fields):
        async for some in rows(folder_id, uids, fields):
            read.extend(some)
            client.session.interrupt()
            yield some

    monkeypatch.setattr(store, "rows", noting)
    assert client.command("SEARCH HEADER Subject minutes")[0].startswith("NO [LIMIT] The search was given up")
    assert len(read) <= 3


@pytest.mark.parametrize("count", [1, 5, 2_001, 4_500])
def test_a_folder_of_many_slices(connect, mailbox, count):
    folder = mailbox.folders["INBOX"]
    mailbox.deliver(FIRST)
    (message,) = folder.messages.values()
    for uid in range(2, count + 1):
        folder.messages[uid] = dataclasses.replace(message, uid=uid, flags=SEEN if uid % 3 else 0)
    folder.uid_next = count + 1
    client = connect().log_in().select()
    expected = [uid for uid in range(1, count + 1) if uid % 3 == 0 or uid == 1]
    assert client.command("SEARCH UNSEEN") == [
        "* SEARCH" + "".join(f" {uid}" for uid in expected),
        "OK Completed",
    ]
    odd = ",".join(map(str, range(1, count + 1, 2)))
    assert client.command(f"UID SEARCH UID {odd} OR SEEN UID 1 NOT UID 3 LARGER 1") == [
        "* SEARCH" + "".join(f" {uid}" for uid in range(1, count + 1, 2) if uid == 1 or uid % 3),
        "OK Completed",
    ]


@pytest.mark.parametrize("charset", ["utf8", '"UTF-8"', "unicode-1-1-utf-8", "us-ascii", "ASCII"])
def test_utf_8_by_its_other_names(found, charset):
    assert found(f"CHARSET {charset} SUBJECT {{5+}}\r\nCAF\xc3\x89") == [1]


@pytest.mark.parametrize(
    ("charset", "needle"),
    [
        ("ISO-8859-1", "CAF\xc9"),
        ("ISO-8859-15", "caf\xe9"),
        ("windows-1252", "caf\xe9"),
        ("macintosh", "caf\x8e"),
        ("UTF-7", "caf+AOk-"),
        ("gb18030", "caf\xa8\xa6"),
    ],
)
def test_search_strings_in_other_charsets(found, charset, needle):
    assert found(f"CHARSET {charset} SUBJECT {{{len(needle)}+}}\r\n{needle}") == [1]
    assert found(f"CHARSET {charset} NOT HEADER Subject {{{len(needle)}+}}\r\n{needle}") == [3, 4]


def test_search_strings_in_cyrillic_and_japanese(found, mailbox):
    mailbox.deliver("Subject: мир 日本\r\n\r\n".encode())
    found.client.command("NOOP")
    for charset, text in (("KOI8-R", "МИР"), ("windows-1251", "мир"), ("iso-2022-jp", "日本"), ("shift_jis", "日本")):
        needle = text.encode(charset).decode("latin-1")
        assert found(f"CHARSET {charset} SUBJECT {{{len(needle)}+}}\r\n{needle}") == [5]


@pytest.mark.parametrize(
    ("charset", "needle"), [("utf-8", "\xff"), ("us-ascii", "\xff"), ("iso-2022-jp", "\xff"), ("utf-16", "x")]
)
def test_a_search_string_that_is_not_in_its_charset(found, charset, needle):
    answer = found.client.command(f"SEARCH CHARSET {charset} SUBJECT {{{len(needle)}+}}\r\n{needle}")
    assert answer[0].startswith("BAD A search string is not in the charset "), answer


@pytest.mark.parametrize("charset", ["x-none", "punycode", "unicode_escape", "zip", '""'])
def test_a_charset_we_do_not_have(found, charset):
    (answer,) = found.client.command(f"SEARCH CHARSET {charset} SUBJECT x")
    assert answer.startswith("NO [BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ")
    assert answer.endswith(")] Search strings can't be in that charset")


@pytest.mark.parametrize("form", ["caf\u00e9", "cafe\u0301", "CAFE\u0301", "ｃａｆé"])
def test_normal_forms(found, form):
    needle = form.encode().decode("latin-1")
    for key in ("SUBJECT", "HEADER Subject", "TEXT"):
        assert 1 in found(f"CHARSET UTF-8 {key} {{{len(needle)}+}}\r\n{needle}") or key == "TEXT"


@pytest.mark.parametrize(
    "date",
    [
        "Thu,\r\n      13\r\n        Feb\r\n          2003\r\n      23:32\r\n               -0330 (Newfoundland Time)",
        "Thu Feb 13 23:32:00 2003",
        "Thu, 13 Feb 2003 9:5:3 +0000",
        "Thu, 13 Feb 2003 23:32:00 +0100 (Mitteleuropäische Zeit)",
        "Thu, (a (b) \\) c) 13 Feb 2003 23:32:00 +0000",
        '"Thu", 13 Feb 2003 23:32:00 +0000 ("")',
    ],
)
def test_dates_of_real_mail(connect, mailbox, date):
    mailbox.deliver(f"Date: {date}\r\n\r\n".encode())
    assert connect().log_in().select().command("SEARCH SENTON 13-Feb-2003")[0] == "* SEARCH 1"


def test_a_date_in_the_subject_is_not_when_it_was_sent(connect, mailbox):
    mailbox.deliver("Date: früh\r\nSubject: 13 Feb 2003 23:32:00 +0100\r\n\r\n".encode())
    assert connect().log_in().select().command("SEARCH SENTON 13-Feb-2003")[0] == "* SEARCH"


def test_a_field_of_many_encoded_words_is_read_in_turns(connect, mailbox):
    mailbox.deliver(b"X-Words: begin\r\n" + b" =?utf-8?q?a?= =?koi8-r?q?a?=\r\n" * 5_000 + b" end\r\n\r\n")
    client = connect().log_in().select()
    pace, before = client.session._context.pace, client.session._context.pace.turns
    assert client.command("SEARCH HEADER X-Words END")[0] == "* SEARCH 1"
    assert pace.turns - before >= 10_000 // 300


def test_white_space_in_fields_is_up_to_who_folded_them(connect, mailbox):
    mailbox.deliver(b"X-Folded: one\r\n\t two\xc2\xa0  three\r\n\r\n")
    client = connect().log_in().select()
    for needle in ("one two three", "one  two\tthree", "e  t"):
        assert client.command(f'SEARCH HEADER X-Folded "{needle}"')[0] == "* SEARCH 1"


def test_messages_gone_meanwhile_are_found_by_nobody(found, mailbox, connect):
    other = connect().log_in().select()
    other.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    other.command("EXPUNGE")
    assert found.client.command("SEARCH SINCE 1-Jan-2020")[0] == "* SEARCH 2 3"
