"""Work in threads that is waited for, whatever becomes of who asked."""

import asyncio
import threading

import pytest

from mailsuite.server.threads import undisturbed


def test_cancelling_waits_for_the_thread():
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        release.wait(10)
        ended.set()

    async def cancel():
        task = asyncio.ensure_future(undisturbed(work))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(cancel())


def test_errors_of_the_thread_come_through():
    def fail():
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        asyncio.run(undisturbed(fail))
