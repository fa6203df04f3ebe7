"""The maildrop of a POP3 session: locked, as it was then, emptied in portions."""

import asyncio

import pytest
from open_mailbox import LATIN, MAIL, append, login, rows_of

from mailsuite.store import flags
from mailsuite.store.models import MaildropLease, Message
from retrieval.mail_values import Refused, StoreUnavailable
from retrieval.orm import reads

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


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
