"""Filing messages: of any size, refused, and with the store service or the disk out of reach."""

import errno

import pytest
from open_mailbox import MAIL, append, login, rows_of, spool_files

from mailsuite.provisioning import services
from mailsuite.writer import local_storage
from mailsuite.writer.spool import GATHER_OCTETS, PRESSED_GATHER_OCTETS
from retrieval.mail_values import Refused, StoreUnavailable

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


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
