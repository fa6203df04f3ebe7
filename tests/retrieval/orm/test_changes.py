"""Who watches a folder hears of each change: by a hint, without any, and after a failure."""

import asyncio
import contextlib

import pytest
from open_mailbox import MAIL, append, login

from mailsuite.writer.operation import Hint
from retrieval.orm import changes, reads

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def test_hint_wakes_those_who_watch_the_folder(inside):
    async def scene(store, backend):
        timers = asyncio.ensure_future(backend.run_timers())
        _, other = await login(backend)
        inbox, sent = await store.status("INBOX"), await store.status("Sent")
        await store.watch(inbox.folder_id)
        await other.watch(sent.folder_id)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            # The first check knows nothing yet, and says so.
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
    monkeypatch.setattr(changes, "CHECK_SECONDS_WITHOUT_VERSION", 0.05)

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


def test_a_check_that_fails_is_not_the_last(inside, monkeypatch, caplog):
    monkeypatch.setattr(changes, "CHECK_SECONDS_WITHOUT_VERSION", 0.05)
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
    assert "checking for changes failed" in caplog.text
