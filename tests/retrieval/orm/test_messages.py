"""Messages over the real database: states, rows and octets, in slices and of this mailbox alone."""

from datetime import UTC, datetime

import pytest
from open_mailbox import MAIL, PASSWORD, append, budget, rows_of, spool_files

from mailsuite.mail.structure import decode_parts
from mailsuite.provisioning import services
from mailsuite.store import flags
from mailsuite.store.models import Message
from mailsuite.store.operations import MarkFetched
from mailsuite.writer.run import execute
from retrieval.mail_values import Refused
from retrieval.orm import reads
from retrieval.orm.directory import OrmDirectory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


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
