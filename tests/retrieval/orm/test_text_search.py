"""Searching texts: what a reader sees is found, within bounds, and mailboxes take turns."""

import asyncio
import base64

import pytest
from open_mailbox import BASE64, MAIL, PASSWORD, append, budget

from mailsuite.provisioning import services
from retrieval.mail_values import Refused
from retrieval.orm import text_search
from retrieval.orm.directory import OrmDirectory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

PICTURE = b"Subject: p\r\nContent-Type: image/png\r\n\r\nbody with a Word that is none\r\n"
WITHIN = (
    b"Subject: f\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b'--x\r\nContent-Type: application/pdf; name="Bill 7.pdf"\r\n\r\n%PDF\r\n'
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?=C3=84rger?=\r\n\r\ninner\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("where", "needle", "found"),
    [
        ("subject", "grÜSSE", {1}),
        ("from", "ÄPFEL", {1}),
        ("to", "BOB@", {1}),
        ("cc", "bob", set()),
        ("bcc", "secret", {1}),
        ("body", "WITH A WORD", {1}),
        ("body", "needle", set()),
        ("text", "needle in", {1}),
        ("text", "image/png", {3}),
        ("body", "über", {2}),
        ("body", "nothing", set()),
        ("text", "bill 7", {4}),
        ("text", "ÄRGER", {4}),
        ("body", "ärger", set()),
        ("body", "inner", {4}),
    ],
)
def test_search(inside, where, needle, found):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, BASE64, PICTURE, WITHIN)
        assert await store.search_text(folder_id, uids, needle, where=where, budget=budget()) == found

    inside(scene)


@pytest.mark.parametrize(
    ("where", "needle", "octets"),
    [
        ("body", "behind", b"Content-Transfer-Encoding: base64\r\n\r\naW4gZnJvbnQ=\r\nYmVoaW5k\r\n"),
        ("body", "one word", b"Content-Transfer-Encoding: quoted-printable\r\n\r\none w=  \r\nord\r\n"),
        ("body", "at the end", b"\r\n" + b"0123456\r\n" * 2_000_000 + b"at the end\r\n"),
        (
            "body",
            "äpfel",
            b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"0123456\r\n" * 14_563 + b"x+AMQ-pfel",
        ),
        ("subject", "the  minutes of", b"Subject: the minutes\r\n\t of\r\n\r\n"),
        ("text", "minutes of", b"Subject: the minutes\r\n\t of\r\n\r\n"),
        ("text", "grün", b"X-A: \xe4\r\n gr\xc3\xbcn\r\n\r\n"),
        ("from", "äpfel", b"From: \xfc \xc3\x84pfel <a@b>\r\n\r\n"),
    ],
    ids=range(8),
)
def test_nothing_is_missed_silently(inside, where, needle, octets):
    """Padding within base64, blanks behind a soft line end, a text of 18 MB, runs of UTF-7 from piece to piece, folds,
    two charsets in a field."""

    async def scene(store, backend):
        folder_id, uids = await append(store, octets)
        assert await store.search_text(folder_id, uids, needle, where=where, budget=budget()) == {1}

    inside(scene)


def test_text_is_found_however_its_mime_fields_are_written(inside):
    """Comments, extended parameters, and what stands behind an encoding (RFC 2045 §5.1 and §6.1, RFC 2231)."""
    plain = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\nw4RwZmVs\r\n"
    messages = [
        plain % b"base64;",
        plain % b"(note) Base64 (note)",
        b"Content-Type: (a) text/plain; charset*=us-ascii''iso-8859-1\r\n"
        b"Content-Transfer-Encoding: quoted-printable; x\r\n\r\n=C4pfel\r\n",
        b"Content-Type: multipart/mixed; boundary*=''a%3Db\r\n\r\n--a=b\r\n\r\n\xc3\x84pfel\r\n--a=b--\r\n",
    ]
    named = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b; name*=koi8-r''%F1\r\n\r\n"

    async def scene(store, backend):
        folder_id, uids = await append(store, *messages, named)
        assert await store.search_text(folder_id, uids, "äpfel", where="body", budget=budget()) == {1, 2, 3, 4}
        assert await store.search_text(folder_id, uids, "я", where="text", budget=budget()) == {5}

    inside(scene)


TWICE = (
    b"From: one@example.org\r\nFrom: two@example.net\r\nTo: first@example.org\r\nSubject: gr\xc3\xbcn\r\n"
    b"To: =?koi8-r?b?zcnS?= <second@example.net>\r\nSubject: =?iso-8859-1?q?bl=E4u?=\r\nX-Raw: \xfcber\r\n\r\nx\r\n"
)
BOUNCE = (
    b"Subject: bounce\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n"
    b"Sorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
    b"Final-Recipient: rfc822; gone@example.net\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nTo: head@x\r\n--b--"
)
NO_BOUNDARY = b"Subject: n\r\nContent-Type: multipart/mixed\r\n\r\nthe text findme\r\n"


# NFD, unlabelled windows-1252, unlabelled UTF-8, and a label that only the table of labels knows
NFD = "Subject: =?utf-8?b?R3J1zIjDn2U=?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nMu\u0308ller\r\n".encode()
UNLABELLED = b"Subject: u\r\n\r\n\x93\xfcber\x94\r\n"
THAI = b"Subject: =?windows-874?B?5LfC?=\r\nContent-Type: text/plain; charset=windows-874\r\n\r\n\xe4\xb7\xc2\r\n"
LARGE = (
    b"Bcc: hidden@example.org\r\nTo: " + b"someone@example.org,\r\n " * 5_000 + b"last@example.net\r\n"
    b"X-Last: beyond\r\n\r\nx\r\n"
)
SEEN_BY_READERS = [
    ("to", "second@example.net", {1}),
    ("to", "МИР", {1}),
    ("from", "two@example.net", {1}),
    ("subject", "BLÄU", {1}),
    ("subject", "Grün", {1}),
    ("text", "bläu", {1}),
    ("text", "über", {1, 5}),
    ("body", "gone@example.net", {2}),
    ("text", "gone@example.net", {2}),
    ("body", "head@x", {2}),
    ("body", "findme", {3}),
    ("text", "FindMe", {3}),
    ("body", "m\u00fcller", {4}),
    ("body", "mu\u0308ller", {4}),
    ("subject", "Gr\u00fcsse", {4}),
    ("subject", "gru\u0308\u00dfe", {4}),
    ("body", "“über”", {5}),
    ("body", "ไทย", {6}),
    ("subject", "ไทย", {6}),
    ("to", "last@example.net", {7}),
    ("bcc", "hidden", {7}),
    ("text", "x-last: beyond", {7}),
    ("body", "no padding", {8, 9}),
]
UNPADDED = [
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(text).rstrip(b"=") + b"\r\n"
    for text in (b"and no padding", b"with, no padding")  # which leave two letters and three
]


def test_search_finds_what_a_reader_sees(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, TWICE, BOUNCE, NO_BOUNDARY, NFD, UNLABELLED, THAI, LARGE, *UNPADDED)
        for where, needle, found in SEEN_BY_READERS:
            assert await store.search_text(folder_id, uids, needle, where=where, budget=budget()) == found, needle

    inside(scene)


def test_a_match_across_pieces(inside, monkeypatch):
    """Of a text, of a character in two normal forms, of base64 with what is none of it."""
    monkeypatch.setattr(text_search, "PIECE_OCTETS", 7)
    text = ("ein Mu\u0308ller und " * 3).encode()
    lines = base64.b64encode(text).replace(b"b", b"b\r\n!-")
    encoded = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines
    plain = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text

    async def scene(store, backend):
        folder_id, uids = await append(store, plain, encoded)
        for needle in ("müller und ein", "MU\u0308LLER", "und "):
            assert await store.search_text(folder_id, uids, needle, where="body", budget=budget()) == {1, 2}

    inside(scene)


@pytest.mark.parametrize("limits", [{"seconds": 0.0}, {"octets": 5_000}])
def test_a_search_that_costs_too_much_says_so(inside, limits):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, MAIL)
        with pytest.raises(Refused) as refused:
            await store.search_text(folder_id, uids, "anything", where="text", budget=budget(**limits))
        assert refused.value.code == "limit"

    inside(scene)


def test_mailboxes_take_turns_at_the_search_thread(inside, monkeypatch):
    """Three searches of one mailbox, begun before, keep another's waiting for one turn, not for three times all."""
    monkeypatch.setattr(text_search, "TURN_OCTETS", 1)
    services.add_mailbox("bob@example.org", PASSWORD)
    served = []

    async def scene(ann, backend):
        _, bob = await OrmDirectory(backend).login(
            "bob@example.org", PASSWORD, protocol="imap", client_address="192.0.2.1"
        )
        run_long = backend.reader.run_long

        async def noting(search, folder_id, *args):
            served.append(folder_id)
            return await run_long(search, folder_id, *args)

        monkeypatch.setattr(backend.reader, "run_long", noting)
        work = [(store, *await append(store, *[MAIL] * count)) for store, count in ((ann, 4), (bob, 2))]
        (ann, folder, uids), (bob, bobs, few) = work
        searches = [
            asyncio.ensure_future(store.search_text(folder_id, some, "a Word", where="text", budget=budget()))
            for store, folder_id, some in [(ann, folder, uids)] * 3 + [(bob, bobs, few)]
        ]
        assert [await search for search in searches] == [{1, 2, 3, 4}] * 3 + [{1, 2}]
        assert served == [folder, bobs, folder, bobs, *[folder] * 10]

    inside(scene)


def test_a_search_that_nobody_waits_for_ends(inside, monkeypatch):
    monkeypatch.setattr(text_search, "TURN_OCTETS", 1)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        cost, turns, run_long = budget(), [], backend.reader.run_long

        async def noting(*args):
            turns.append(args)
            if len(turns) == 2:
                cost.give_up()
            return await run_long(*args)

        monkeypatch.setattr(backend.reader, "run_long", noting)
        with pytest.raises(Refused):
            await store.search_text(folder_id, uids, "no such", where="text", budget=cost)
        assert len(turns) == 2
        assert await store.search_text(folder_id, uids, "a Word", where="text", budget=budget()) == set(uids)

    inside(scene)
