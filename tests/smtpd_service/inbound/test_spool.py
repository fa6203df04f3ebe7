import asyncio
import os
import threading

import pytest

from smtpd_service.inbound import spool
from smtpd_service.inbound.spool import Spool, undisturbed


def content(file, octets: bytes | None) -> bytes:
    """What the store is given: the octets of a small message, of another its file."""
    folder, name = os.path.split(file.path)
    assert os.listdir(folder) == ([] if octets is not None else [name])
    if octets is not None:
        return octets
    with open(file.path, "rb") as opened:
        return opened.read()


@pytest.mark.parametrize("size", [0, 1, spool.GATHER_OCTETS - 1, spool.GATHER_OCTETS * 3 + 5])
def test_written_in_pieces_read_whole(tmp_path, size):
    async def write():
        file, octets = Spool(tmp_path).new_file(), b"x" * size
        for start in range(0, size, 10_000):
            await file.write(octets[start : start + 10_000])
        assert b"".join(file.chunks(7)) == octets[7:]
        return file, await file.finish()

    file, octets = asyncio.run(write())
    assert (octets is None) == (size >= spool.GATHER_OCTETS)
    assert content(file, octets) == b"x" * size
    assert file.size_octets == size


@pytest.mark.parametrize("size", [10, spool.GATHER_OCTETS * 20])
def test_head_is_replaced(tmp_path, size):
    async def write():
        file = Spool(tmp_path).new_file()
        await file.write(b"old head")
        await file.write(b"b" * size)
        await undisturbed(lambda: file.replace_head(8, b"another head"))
        return file, await file.finish()

    file, octets = asyncio.run(write())
    assert content(file, octets) == b"another head" + b"b" * size
    assert file.size_octets == 12 + size


@pytest.mark.parametrize("step", [1, 2, 3, 1000, 200_000])
def test_the_head_ends_with_the_header(tmp_path, step):
    header, body = b"Subject: x\r\nTo: y\r\n\r\n", b"b" * 100_000

    async def write(octets):
        file = Spool(tmp_path).new_file()
        for start in range(0, len(octets), step):
            await file.write(octets[start : start + step])
        file.discard()
        return file.head

    head = asyncio.run(write(header + body))
    assert head.startswith(header) and len(head) < len(header) + step
    if step >= 1000:
        without_end = b"x: y\r\n" * 60_000
        head = asyncio.run(write(without_end))
        assert without_end.startswith(head) and spool.HEAD_OCTETS <= len(head) < spool.HEAD_OCTETS + step


def test_discarded_at_any_time(tmp_path):
    async def discard(size):
        file = Spool(tmp_path).new_file()
        await file.write(b"x" * size)
        file.discard()

    for size in (0, 5, spool.GATHER_OCTETS):
        asyncio.run(discard(size))
    assert list(tmp_path.iterdir()) == []


def test_eight_bit_is_seen(tmp_path):
    async def write(octets):
        file = Spool(tmp_path).new_file()
        await file.write(b"ascii")
        await file.write(octets)
        return file.eight_bit

    assert asyncio.run(write(b"\xe4"))
    assert not asyncio.run(write(b"a"))


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
