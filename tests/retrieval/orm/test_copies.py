"""Copies and moves; a large copy is all or nothing, and keeps nobody else waiting."""

import dataclasses

import pytest
from django.utils import timezone
from open_mailbox import BASE64, MAIL, append, noting, rows_of

from mailsuite.ids import new_id
from mailsuite.store import copies, operations
from mailsuite.store.chores import do_chores
from mailsuite.store.copies import expire_all
from mailsuite.store.models import PartialCopy, Usage
from mailsuite.writer import operation
from mailsuite.writer.operation import StoreUnavailable as ServiceUnavailable
from mailsuite.writer.run import execute
from retrieval.mail_values import Refused, StoreUnavailable

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


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
