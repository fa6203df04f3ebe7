"""The store as sessions see it, over the real database, with the store's operations run in place of its service."""

import asyncio
import base64
import contextlib
import dataclasses
import errno
import os
from datetime import UTC, datetime

import pytest
from django.db import connections
from django.utils import timezone
from stored_mail import spooled_names, store_mail_in

from mailsuite.directory import authentication, services
from mailsuite.directory.cache import CACHE
from mailsuite.directory.passwords import Argon2idHasher
from mailsuite.ids import new_id
from mailsuite.mail.structure import decode_parts
from mailsuite.store import copies, flags, operations
from mailsuite.store.chores import do_chores
from mailsuite.store.copies import expire_all
from mailsuite.store.models import MaildropLease, Message, PartialCopy, Usage
from mailsuite.store.operations import MarkFetched
from mailsuite.writer import local_storage, operation
from mailsuite.writer.operation import Hint
from mailsuite.writer.operation import StoreUnavailable as ServiceUnavailable
from mailsuite.writer.run import execute
from mailsuite.writer.spool import GATHER_OCTETS, PRESSED_GATHER_OCTETS
from retrieval.mail_values import Refused, StoreUnavailable
from retrieval.orm import changes, reads, text_search
from retrieval.orm.backend import Backend
from retrieval.orm.directory import OrmDirectory
from retrieval.search_budget import SearchBudget

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
PASSWORD = "correct horse battery"
MAIL = (
    b"From: Ann =?utf-8?q?=C3=84pfel?= <ann@example.org>\r\nTo: bob@example.org\r\nBcc: secret@example.org\r\n"
    b"Subject: Gr\xc3\xbc\xc3\x9fe\r\nX-Other: needle in a field\r\n\r\nbody with a Word\r\n"
)
LATIN = base64.encodebytes("über ü".encode("iso-8859-1")).strip() + b"\r\n"
BASE64 = (
    b"Subject: b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n" + LATIN
)
PICTURE = b"Subject: p\r\nContent-Type: image/png\r\n\r\nbody with a Word that is none\r\n"

WITHIN = (
    b"Subject: f\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b'--x\r\nContent-Type: application/pdf; name="Bill 7.pdf"\r\n\r\n%PDF\r\n'
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?=C3=84rger?=\r\n\r\ninner\r\n--x--\r\n"
)


class DirectClient:
    """Runs operations here and now; `away` stands for a service that does not answer."""

    def __init__(self):
        self.away, self.sent, self.on_hint = False, [], None
        self.withdrawn = []

    async def run(self, operation):
        if self.away:
            raise ServiceUnavailable("away")
        return execute(operation)

    def send(self, operation):
        self.sent.append(operation)

    def withdraw(self, withdrawal):
        self.withdrawn.append(withdrawal)

    async def watch(self, on_hint):
        self.on_hint = on_hint

    async def close(self):
        pass


@pytest.fixture(autouse=True)
def surroundings(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2idHasher, "memory_cost", 8)
    authentication._dummy_hash.cache_clear()
    CACHE.clear()
    authentication.forget_logins()
    store_mail_in(settings, settings.MAILSUITE.blobs)
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", PASSWORD)


@pytest.fixture
def inside(settings):
    """`inside(scene)` runs a coroutine function with a logged-in store and its backend, in an event loop."""

    def inside(scene):
        async def run():
            backend = Backend(settings.MAILSUITE, DirectClient())
            try:
                _, store = await login(backend)
                assert store is not None
                await scene(store, backend)
            finally:
                await backend.close()
                connections.close_all()

        asyncio.run(run())

    return inside


async def login(backend, password=PASSWORD):
    return await OrmDirectory(backend).login("ann@example.org", password, protocol="imap", client_address="192.0.2.1")


async def append(store, *messages, name="INBOX", bits=0, keywords=()):
    folder = await store.status(name)
    items = []
    for message in messages:
        spool = await store.spool()
        for at in range(0, len(message), 1000):
            await spool.write(message[at : at + 1000])
        items.append(await spool.finish(bits, keywords, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    return folder.folder_id, (await store.append(folder.folder_id, items))[1]


async def rows_of(store, folder_id, uids, fields=()):
    return [row async for some in store.rows(folder_id, uids, fields) for row in some]


def budget(octets=10**9, seconds=60.0):
    return SearchBudget(octets, seconds)


def spool_files():
    return spooled_names()


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_an_internal_date_may_be_any_that_imap_can_write(inside, moment):
    async def scene(store, backend):
        folder = await store.status("INBOX")
        spool = await store.spool()
        await spool.write(MAIL)
        await store.append(folder.folder_id, [await spool.finish(0, (), moment)])
        ((row,),) = [rows async for rows in store.rows(folder.folder_id, [1], ())]
        assert row.internal_date == moment

    inside(scene)


def test_appended_message_comes_back_octet_by_octet(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, bits=flags.SEEN, keywords=["Work"])
        (row,) = await rows_of(store, folder_id, uids, ("envelope", "body_structure", "body", "header", "parts"))
        assert row.size_octets == len(MAIL) and row.prefix_octets == 0
        assert row.internal_date == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert row.header == MAIL[: MAIL.index(b"body")] and row.envelope.startswith(b"(") and row.parts
        for start, end in [(0, len(MAIL)), (0, 10), (7, 9), (len(MAIL) - 2, 10**9), (10**6, 10**7)]:
            assert await store.octets(row, start, end) == MAIL[start:end]
        changes = await store.states(folder_id)
        assert [tuple(state)[:3] for state in changes.changed] == [(1, flags.SEEN, "Work")]
        assert spool_files() == []

    inside(scene)


def test_prefix_stands_in_front(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL)
        prefix = b"Return-Path: <>\r\n"
        Message.objects.update(prefix=prefix, size_octets=len(prefix + MAIL))
        (row,) = await rows_of(store, folder_id, uids, ("header",))
        assert row.prefix_octets == len(prefix) and row.header.startswith(prefix + b"From: Ann")
        whole = prefix + MAIL
        for start in range(0, 30, 3):
            for end in range(start, 40, 3):
                assert await store.octets(row, start, end) == whole[start:end]

    inside(scene)


def test_rows_in_slices_pass_over_what_is_gone(inside, monkeypatch):
    monkeypatch.setattr(reads, "MESSAGE_ROWS", 3)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[b"Subject: %d\r\n\r\n" % number for number in range(10)])
        assert uids == list(range(1, 11))
        await store.store_flags(folder_id, [2, 9], "add", flags.DELETED, (), None)
        assert await store.expunge(folder_id, uids) == [2, 9]
        for wanted in (uids, [1, 2, 3, 9, 10], [2, 9], [10], [1, 5, 10], [99]):
            rows = await rows_of(store, folder_id, wanted)
            assert [row.uid for row in rows] == [uid for uid in wanted if uid not in (2, 9, 99)]
            for row in rows:
                assert await store.octets(row, 0, 99) == b"Subject: %d\r\n\r\n" % (row.uid - 1)

    inside(scene)


def test_states_of_a_large_folder_and_what_is_newer(inside, monkeypatch):
    monkeypatch.setattr(reads, "STATE_ROWS", 3)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[b"Subject: x\r\n\r\n"] * 8)
        all_of_it = await store.states(folder_id)
        assert [state.uid for state in all_of_it.changed] == list(uids) and all_of_it.uid_next == 9
        nothing = await store.states(folder_id, since_modseq=all_of_it.highest_modseq)
        assert (list(nothing.changed), list(nothing.expunged)) == ([], [])
        await store.store_flags(folder_id, [7, 2], "add", flags.FLAGGED, (), None)
        await store.store_flags(folder_id, [4], "add", flags.DELETED, (), None)
        await store.expunge(folder_id, uids)
        newer = await store.states(folder_id, since_modseq=all_of_it.highest_modseq)
        assert [state.uid for state in newer.changed] == [2, 7] and list(newer.expunged) == [4]
        await store.store_flags(folder_id, uids, "add", flags.SEEN, (), None)
        newer = await store.states(folder_id, since_modseq=all_of_it.highest_modseq)
        assert [state.uid for state in newer.changed] == [1, 2, 3, 5, 6, 7, 8] and list(newer.expunged) == [4]

    inside(scene)


def test_many_names_and_recent_messages_are_read_in_slices(inside, monkeypatch):
    monkeypatch.setattr(reads, "NAME_ROWS", 4)
    monkeypatch.setattr(reads, "COUNTED_ROWS", 3)

    async def scene(store, backend):
        for number in range(5):
            await store.create_folder(f"F{number}")
            await store.subscribe(f"S{number}", on=True)
        first = {"INBOX", "Sent", "Drafts", "Trash", "Junk", "Archive"}
        assert {folder.name for folder in await store.folders()} == first | {f"F{number}" for number in range(5)}
        assert set(await store.subscriptions()) == first | {f"S{number}" for number in range(5)}
        folder_id, uids = await append(store, *[b"Subject: x\r\n\r\n"] * 2)
        assert (await store.status("INBOX")).recent_count == 2
        await store.claim_recent(folder_id)
        assert (await store.status("INBOX")).recent_count == 0
        for count in (1, 3, 4, 7):
            await append(store, *[b"Subject: x\r\n\r\n"] * count)
            assert (await store.status("INBOX")).recent_count == count
            await store.claim_recent(folder_id)

    inside(scene)


def test_a_slice_of_large_rows_has_fewer(inside, monkeypatch):
    monkeypatch.setattr("retrieval.orm.messages.ROWS_OCTETS", 100_000)
    monkeypatch.setattr("retrieval.orm.messages.FIRST_ROWS", 2)

    async def scene(store, backend):
        large = b"X: " + b"x" * 40_000 + b"\r\n\r\n"
        folder_id, uids = await append(store, *[large] * 9)
        counts = [len(rows) async for rows in store.rows(folder_id, uids, ("header",))]
        assert counts == [2, 2, 2, 2, 1]
        counts = [len(rows) async for rows in store.rows(folder_id, uids, ())]
        assert counts == [2, 7]

    inside(scene)


def test_folders_and_status(inside):
    async def scene(store, backend):
        await store.create_folder("Work/Deep")
        names = {folder.name for folder in await store.folders()}
        assert {"INBOX", "Sent", "Work", "Work/Deep"} <= names
        await store.subscribe("Work", on=True)
        assert "Work" in await store.subscriptions()
        await append(store, MAIL, MAIL, name="Work", bits=flags.SEEN)
        status = await store.status("Work")
        assert (status.message_count, status.unseen_count, status.recent_count, status.uid_next) == (2, 0, 2, 3)
        assert status.size_octets == 2 * len(MAIL)
        assert await store.claim_recent(status.folder_id) == 1
        assert (await store.status("Work")).recent_count == 0
        assert await store.status("Nothing") is None
        with pytest.raises(Refused, match="already"):
            await store.create_folder("Work")
        await store.rename_folder("Work", "Play")
        assert await store.status("Work") is None and await store.status("Play") is not None
        await store.delete_folder("Play/Deep")
        with pytest.raises(Refused):
            await store.delete_folder("Play/Deep")

    inside(scene)


def test_copy_and_move(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, BASE64)
        target = await store.status("Archive")
        validity, pairs = await store.copy(folder_id, [1], target.folder_id, move=False)
        assert (validity, list(pairs)) == (target.uid_validity, [(1, 1)])
        before = {row.uid: row.unique_id for row in await rows_of(store, folder_id, uids)}
        _, pairs = await store.copy(folder_id, [1, 2], target.folder_id, move=True)
        assert list(pairs) == [(1, 2), (2, 3)]
        there = await rows_of(store, target.folder_id, [1, 2, 3])
        assert [row.unique_id for row in there[1:]] == [before[1], before[2]] and there[0].unique_id != before[1]
        assert await rows_of(store, folder_id, uids) == []

    inside(scene)


def test_nothing_of_another_mailbox_is_read(inside):
    services.add_mailbox("bob@example.org", PASSWORD)

    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL)
        (row,) = await rows_of(store, folder_id, uids)
        _, bob = await OrmDirectory(backend).login(
            "bob@example.org", PASSWORD, protocol="imap", client_address="192.0.2.1"
        )
        assert await rows_of(bob, folder_id, uids) == []
        for attempt in (bob.states(folder_id), bob.octets(row, 0, 10), bob.expunge(folder_id, uids)):
            with pytest.raises(Refused):
                await attempt
        assert await bob.search_text(folder_id, uids, "body", where="text", budget=budget()) == set()

    inside(scene)


def test_expunged_message_is_refused(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL)
        (row,) = await rows_of(store, folder_id, uids)
        await store.store_flags(folder_id, uids, "add", flags.DELETED, (), None)
        await store.expunge(folder_id, uids)
        with pytest.raises(Refused):
            await store.octets(row, 0, 10)

    inside(scene)


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


def test_of_large_rows_one_is_held_at_a_time(inside):
    """A slice of messages with megabytes of ENVELOPE each would be a gigabyte; small ones still come together."""
    small = b"Subject: small\r\n\r\n"
    long = b"Subject: long\r\nTo: " + b",\r\n ".join([b"a@example.org"] * 1_000) + b"\r\n\r\n"
    parts = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 500

    async def scene(store, backend):
        folder_id, uids = await append(store, small, small, long, parts, small, long, small)
        asked = {"envelope", "body_structure", "parts"}
        slices = [rows async for rows in store.rows(folder_id, uids, asked)]
        assert [[row.uid for row in rows] for rows in slices] == [[1, 2], [3], [4], [5], [6], [7]]
        rows = [row for rows in slices for row in rows]
        assert all(row.envelope and row.body_structure and row.parts for row in rows)
        assert rows[2].envelope.count(b'"example.org"') == 1_000 and len(decode_parts(rows[3].parts).children) == 500
        together = [rows async for rows in store.rows(folder_id, uids, {"header"})]
        assert [len(rows) for rows in together] == [7]
        alone = [rows async for rows in store.rows(folder_id, [3], asked)]
        assert alone == [[rows[2]]]

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


@pytest.mark.parametrize("size", [1, GATHER_OCTETS - 1, GATHER_OCTETS, 10 * GATHER_OCTETS + 7])
def test_append_of_any_size(inside, size):
    async def scene(store, backend):
        message = (MAIL + b"0123456789" * size)[:size]
        folder_id, uids = await append(store, message)
        (row,) = await rows_of(store, folder_id, uids)
        assert await store.octets(row, 0, size + 1) == message
        assert spool_files() == []

    inside(scene)


def test_a_large_append_on_a_full_disk_leaves_no_file(inside, monkeypatch):
    def full(descriptor, octets):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scene(store, backend):
        spool = await store.spool()
        await spool.write(b"x" * GATHER_OCTETS)
        await spool.write(b"the rest")
        monkeypatch.setattr(local_storage.os, "write", full)
        with pytest.raises(StoreUnavailable, match="No space"):
            await spool.finish(0, (), None)
        assert spool_files() == []

    inside(scene)


def test_refused_append_leaves_no_file(inside):
    services.change_mailbox("ann@example.org", quota_octets=100)

    async def scene(store, backend):
        _, limited = await login(backend)
        with pytest.raises(Refused) as refused:
            await append(limited, MAIL * 10)
        with pytest.raises(Refused):
            await append(limited, b"x" * 100 * GATHER_OCTETS)
        assert spool_files() == []
        assert refused.value.code == "over-quota"
        spool = await store.spool()
        await spool.write(b"x" * 2_000_000)
        assert len(spool_files()) == 1
        await spool.discard()
        assert spool_files() == []

    inside(scene)


def test_what_appends_hold_in_memory_is_counted_and_goes_to_disk_sooner_under_pressure(inside):
    async def scene(store, backend):
        budget, kept = backend.octet_budget, await store.spool()
        await kept.write(b"x" * 10_000)
        assert budget.held >= 10_000
        pressed = await store.spool()
        budget.take(budget.limit)
        await pressed.write(b"x" * PRESSED_GATHER_OCTETS)
        budget.give(budget.limit)
        assert len(spool_files()) == 1
        await kept.finish(0, (), None)
        assert budget.held == 0
        await pressed.discard()
        assert (budget.held, spool_files()) == (0, [])

    inside(scene)


def test_service_that_is_away(inside):
    async def scene(store, backend):
        backend.client.away = True
        with pytest.raises(StoreUnavailable):
            await store.create_folder("x")
        with pytest.raises(StoreUnavailable):
            await append(store, MAIL)
        with pytest.raises(StoreUnavailable):
            await append(store, b"x" * GATHER_OCTETS)
        assert spool_files() == []

    inside(scene)


def test_hint_wakes_those_who_watch_the_folder(inside):
    async def scene(store, backend):
        timers = asyncio.ensure_future(backend.run_timers())
        _, other = await login(backend)
        inbox, sent = await store.status("INBOX"), await store.status("Sent")
        await store.watch(inbox.folder_id)
        await other.watch(sent.folder_id)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            # The first look knows nothing yet, and says so.
            await store.changed()
            await other.changed()
            backend.client.on_hint(Hint([inbox.folder_id]))
            await store.changed()
        assert not other._event.is_set()
        await store.watch(None)
        timers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timers

    inside(scene)


def test_change_is_seen_without_any_hint(inside, monkeypatch):
    monkeypatch.setattr(changes, "LOOK_SECONDS_WITHOUT_VERSION", 0.05)

    async def scene(store, backend):
        timers = asyncio.ensure_future(backend.run_timers())
        inbox = await store.status("INBOX")
        await store.watch(inbox.folder_id)
        async with asyncio.timeout(10):
            await store.changed()
            for _ in range(3):
                await append(store, MAIL)
                await store.changed()
        timers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timers

    inside(scene)


def test_a_look_that_fails_is_not_the_last(inside, monkeypatch, caplog):
    monkeypatch.setattr(changes, "LOOK_SECONDS_WITHOUT_VERSION", 0.05)
    whole, asked = reads.data_version, []

    def broken_once():
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("a bug")
        return whole()

    monkeypatch.setattr(reads, "data_version", broken_once)

    async def scene(store, backend):
        timers = asyncio.ensure_future(backend.run_timers())
        inbox = await store.status("INBOX")
        await store.watch(inbox.folder_id)
        async with asyncio.timeout(10):
            await store.changed()
            await append(store, MAIL)
            await store.changed()
        timers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timers

    inside(scene)
    assert "looking for changes failed" in caplog.text


def test_maildrop_is_locked_renewed_and_emptied(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, MAIL)
        _, other = await login(backend)
        await store.lease_maildrop("a")
        with pytest.raises(Refused) as refused:
            await other.lease_maildrop("b")
        assert refused.value.code == "locked"
        first = MaildropLease.objects.get().expires_at
        await backend._renew_leases()
        assert MaildropLease.objects.get().expires_at > first
        with pytest.raises(Refused) as refused:
            await other.quit_maildrop(folder_id, "b", uids)
        assert refused.value.code == "lease-lost"
        await store.quit_maildrop(folder_id, "a", [1])
        assert list(Message.objects.values_list("uid", flat=True)) == [2]
        assert not MaildropLease.objects.exists() and not backend.leases
        await other.lease_maildrop("b")
        await other.release_maildrop("b")
        assert not MaildropLease.objects.exists()

    inside(scene)


def test_maildrop_is_the_inbox_as_it_was_when_it_was_locked(inside, monkeypatch):
    monkeypatch.setattr(reads, "STATE_ROWS", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, LATIN, MAIL, LATIN, MAIL)
        await append(store, MAIL, name="Archive")
        await store.store_flags(folder_id, [2], "add", flags.DELETED, [], None)
        await store.expunge(folder_id, [2])
        leased = await store.lease_maildrop("a")
        await append(store, MAIL)
        entries = [entry async for some in store.maildrop_entries(leased) for entry in some]
        rows = await rows_of(store, folder_id, [1, 3, 4, 5])
        assert entries == [(row.uid, row.size_octets, row.unique_id) for row in rows] and len(entries) == 4

    inside(scene)


@pytest.mark.parametrize("how", ["expunge", "move"])
def test_what_leaves_the_inbox_is_served_to_the_session_that_locked_it(inside, how):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, LATIN, bits=flags.DELETED)
        Message.objects.filter(uid=1).update(prefix=b"X: y\r\n", size_octets=len(MAIL) + 6)
        _, imap = await login(backend)
        leased = await store.lease_maildrop("a")
        assert (leased.folder_id, leased.uid_next, leased.message_count) == (folder_id, 3, 2)
        before = await store.maildrop_row(folder_id, 1, ("parts",))
        (seen,) = await rows_of(imap, folder_id, [1])
        if how == "expunge":
            await imap.expunge(folder_id, uids)
        else:
            archive = await imap.status("Archive")
            await imap.copy(folder_id, uids, archive.folder_id, move=True)
        assert await rows_of(store, folder_id, uids) == []
        assert await store.maildrop_row(folder_id, 1, ("parts",)) == before
        assert await store.octets(before, 0, 10**6) == b"X: y\r\n" + MAIL
        # Who has seen it before it went reads it to its end.
        assert await imap.octets(seen, 2, 8) == b" y\r\nFr"
        await store.quit_maildrop(folder_id, "a", uids)
        assert await store.maildrop_row(folder_id, 1, ()) is None
        assert Message.objects.count() == (0 if how == "expunge" else 2)

    inside(scene)


def test_renaming_the_inbox_moves_its_messages_in_slices(inside, monkeypatch):
    monkeypatch.setattr("retrieval.orm.store.ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        asked = noting(backend)
        await store.rename_folder("INBOX", "Old/2026")
        assert [len(op.uids) for op in asked if isinstance(op, operations.Copy)] == [2, 2, 1]
        inbox, old = await store.status("INBOX"), await store.status("Old/2026")
        assert (inbox.folder_id, inbox.message_count, old.message_count) == (folder_id, 0, 5)
        with pytest.raises(Refused) as refused:
            await store.rename_folder("INBOX", "Old")
        assert refused.value.code == "exists"

    inside(scene)


def noting(backend, fails_at=None):
    """The operations that are asked for; the one of that number, counted from 1, finds the store away."""
    run, asked = backend.client.run, []

    async def run_and_note(operation):
        asked.append(operation)
        if len(asked) == fails_at:
            raise ServiceUnavailable("away")
        return await run(operation)

    backend.client.run = run_and_note
    return asked


async def state_of(store, name="Archive"):
    status = await store.status(name)
    usage = Usage.objects.values_list("used_octets", "message_count").get()
    return status.message_count, status.size_octets, *usage


def test_a_large_copy_is_made_in_slices_and_others_come_between(inside, monkeypatch):
    monkeypatch.setattr("retrieval.orm.copies.ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        archive = (await store.status("Archive")).folder_id
        run, asked = backend.client.run, []

        async def between(operation):
            asked.append(operation)
            answer = await run(operation)
            if isinstance(operation, operations.Copy):
                backend.client.run = run
                await append(store, b"Subject: between\r\n\r\n", name="Archive")
                backend.client.run = between
            return answer

        backend.client.run = between
        _, pairs = await store.copy(folder_id, uids, archive, move=False)
        assert list(pairs) == [(1, 1), (2, 2), (3, 4), (4, 5), (5, 7)]
        assert [type(operation).__name__ for operation in asked] == ["BeginCopy", "Copy", "Copy", "Copy", "EndCopy"]
        assert all(len(operation.uids) <= 2 for operation in asked[1:4])
        octets = 5 * len(MAIL) + 3 * len(b"Subject: between\r\n\r\n")
        assert await state_of(store) == (8, octets, 5 * len(MAIL) + octets, 13)
        do_chores(timezone.now())
        assert await state_of(store) == (8, octets, 5 * len(MAIL) + octets, 13)

    inside(scene)


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_a_large_copy_that_fails_leaves_the_target_as_it_was(inside, monkeypatch, fails_at):
    """At each of its steps; the sixth is the end that is asked for again."""
    monkeypatch.setattr("retrieval.orm.copies.ROWS_AT_ONCE", 2)
    monkeypatch.setattr(copies, "ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        await append(store, MAIL, name="Archive")
        archive = (await store.status("Archive")).folder_id
        before = await state_of(store)
        asked = noting(backend, fails_at if fails_at < 6 else None)
        if fails_at == 5:  # only the answer was lost: asked again, it is done
            assert len((await store.copy(folder_id, uids, archive, move=False))[1]) == 5
            return
        if fails_at < 5:
            with pytest.raises(StoreUnavailable):
                await store.copy(folder_id, uids, archive, move=False)
        else:
            run = backend.client.run

            async def no_end(operation):
                if isinstance(operation, operations.EndCopy):
                    raise ServiceUnavailable("away")
                return await run(operation)

            backend.client.run = no_end
            with pytest.raises(StoreUnavailable):
                await store.copy(folder_id, uids, archive, move=False)
            assert [type(one) for one in backend.client.withdrawn] == [operations.ReopenCopy]
        assert await state_of(store) == before and not PartialCopy.objects.exists()
        removed = [operation for operation in asked if isinstance(operation, operations.UndoCopy)]
        assert len(removed) == (0 if fails_at == 1 else max(1, min(fails_at, 5) - 2))

    inside(scene)


def test_a_large_copy_into_too_little_room_copies_nothing(inside, monkeypatch):
    monkeypatch.setattr("retrieval.orm.copies.ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        store.principal = dataclasses.replace(store.principal, quota_octets=9 * len(MAIL))
        asked = noting(backend)
        with pytest.raises(Refused) as refused:
            await store.copy(folder_id, uids, (await store.status("Archive")).folder_id, move=False)
        assert refused.value.code == "over-quota" and len(asked) == 1
        store.principal = dataclasses.replace(store.principal, quota_octets=10 * len(MAIL))
        await store.copy(folder_id, uids, (await store.status("Archive")).folder_id, move=False)

    inside(scene)


def test_a_large_copy_whose_asker_died_is_undone_by_the_service(inside, monkeypatch):
    """Killed between two slices, and after the last."""
    monkeypatch.setattr("retrieval.orm.copies.ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        archive = (await store.status("Archive")).folder_id
        before = await state_of(store)
        for slices in (0, 1, 2):
            mailbox_id, copy_id = store.principal.mailbox_id, new_id()
            execute(operations.BeginCopy(mailbox_id, copy_id, archive, 5 * len(MAIL)))
            for number in range(slices):
                some = list(uids[2 * number : 2 * number + 2])
                execute(operations.Copy(mailbox_id, folder_id, archive, some, copy_id=copy_id))
            assert (await state_of(store))[2] == before[2] + 5 * len(MAIL)
            do_chores(timezone.now())
            assert PartialCopy.objects.count() == 1  # somebody may be at it
            expire_all()
            with pytest.raises(operation.Refused):
                execute(operations.EndCopy(mailbox_id, copy_id))
            do_chores(timezone.now())
            assert await state_of(store) == before and not PartialCopy.objects.exists()

    inside(scene)


def test_quit_removes_much_in_portions(inside, monkeypatch):
    monkeypatch.setattr("retrieval.orm.maildrop.ROWS_AT_ONCE", 2)

    async def scene(store, backend):
        folder_id, uids = await append(store, *[MAIL] * 5)
        await store.lease_maildrop("a")
        await store.quit_maildrop(folder_id, "a", uids)
        assert not Message.objects.exists() and not MaildropLease.objects.exists() and not backend.leases
        _, uids = await append(store, *[MAIL] * 5)
        await store.lease_maildrop("b")
        run, asked = backend.client.run, []

        async def run_two(operation):
            asked.append(operation)
            backend.client.away = len(asked) > 2
            return await run(operation)

        backend.client.run = run_two
        with pytest.raises(StoreUnavailable):
            await store.quit_maildrop(folder_id, "b", uids)
        assert list(Message.objects.values_list("uid", flat=True)) == uids[4:]
        backend.client.run, backend.client.away = run, False
        await store.release_maildrop("b")
        await store.lease_maildrop("c")
        await store.quit_maildrop(folder_id, "c", [])
        assert Message.objects.count() == 1 and not MaildropLease.objects.exists()

    inside(scene)


def test_renewal_does_not_revive_what_was_released_meanwhile(inside):
    async def scene(store, backend):
        _, other = await login(backend)
        await store.lease_maildrop("a")
        renewal = asyncio.ensure_future(backend._renew_leases())
        await asyncio.sleep(0)
        await store.release_maildrop("a")
        await renewal
        assert not MaildropLease.objects.exists() and not backend.leases
        await other.lease_maildrop("b")

    inside(scene)


def test_first_reading_is_told_once(inside):
    async def scene(store, backend):
        folder_id, uids = await append(store, MAIL, MAIL)
        rows = await rows_of(store, folder_id, uids)
        await store.mark_fetched(rows, "IMAP Client 1")
        await store.mark_fetched(rows[:1], "IMAP Client 1")
        await backend._tell_fetched()
        await backend._tell_fetched()
        (told,) = backend.client.sent
        assert told == MarkFetched(sorted(row.message_id for row in rows), "IMAP Client 1")
        execute(told)
        assert all(row.first_fetched for row in await rows_of(store, folder_id, uids))

    inside(scene)


def test_wrong_password(inside):
    async def scene(store, backend):
        answer, nothing = await login(backend, "wrong")
        assert (answer.principal, answer.reason, nothing) == (None, "wrong", None)

    inside(scene)


@pytest.mark.parametrize(
    "change",
    [
        lambda: services.suspend_mailbox("ann@example.org"),
        lambda: services.remove_mailbox("ann@example.org"),
        lambda: services.set_password("ann@example.org", "another good password"),
        lambda: services.set_domain_state("example.org", disabled=True),
    ],
    ids=["suspended", "removed", "password", "domain"],
)
def test_login_becomes_void(inside, monkeypatch, change):
    monkeypatch.setattr("retrieval.orm.backend.VERSION_SECONDS", 0)

    async def scene(store, backend):
        assert await store.still_valid()
        services.add_mailbox("bystander@example.org", PASSWORD)
        assert await store.still_valid()
        change()
        assert not await store.still_valid()

    inside(scene)


def test_folder_that_is_gone(inside):
    async def scene(store, backend):
        await store.create_folder("Work")
        status = await store.status("Work")
        await store.delete_folder("Work")
        assert await store.status("Work") is None
        with pytest.raises(Refused):
            await store.states(status.folder_id)

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


def test_who_signs_in_first_does_not_wait_for_a_crowd_of_guessers(monkeypatch, inside):
    tried = []

    def authenticate(name, *_, **__):
        tried.append(name)
        return authentication.Authentication(reason="wrong-credentials")

    async def scene(store, backend):
        monkeypatch.setattr("retrieval.orm.directory.authenticate", authenticate)
        names = {f"guess {number}": "198.51.100.1" for number in range(50)} | {"honest": "203.0.113.1"}
        directory = OrmDirectory(backend)
        await asyncio.gather(
            *(directory.login(name, "x", protocol="imap", client_address=address) for name, address in names.items())
        )

    inside(scene)
    assert len(tried) == 51
    assert tried.index("honest") <= (os.cpu_count() or 1)
