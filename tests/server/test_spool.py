import asyncio
import os
import threading

import pytest

from mailsuite.server import spool
from mailsuite.server.octets import OctetBudget
from mailsuite.server.spool import Spool, undisturbed


def content(file, octets: bytes | None) -> bytes:
    """What the store is given: the octets of a small message, of another its file."""
    folder, name = os.path.split(file.path)
    assert os.listdir(folder) == ([] if octets is not None else [name])
    if octets is not None:
        return octets
    with open(file.path, "rb") as opened:
        return opened.read()


@pytest.mark.parametrize("size", [0, 1, spool.GATHER_OCTETS - 1000, spool.GATHER_OCTETS * 3 + 5])
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
        head = file.head
        file.discard()
        return head

    assert asyncio.run(write(header + body)) == header
    if step >= 1000:
        without_end = b"x: y\r\n" * 250_000
        assert asyncio.run(write(without_end)) == without_end[: spool.HEAD_OCTETS]


@pytest.mark.parametrize("small", [True, False])
def test_the_head_is_what_was_received_whatever_stands_in_its_place(tmp_path, small):
    async def write():
        file = Spool(tmp_path).new_file()
        await file.write(b"a: b\r\n\r\n" + b"b" * (10 if small else spool.GATHER_OCTETS))
        assert file.is_small is small
        head = file.head
        await undisturbed(lambda: file.replace_head(len(head), b"another"))
        return head, file.head

    assert asyncio.run(write()) == (b"a: b\r\n\r\n", b"a: b\r\n\r\n")


def test_what_is_held_in_memory_is_counted_and_nothing_twice(tmp_path):
    async def write():
        budget = OctetBudget()
        file, small = Spool(tmp_path, budget).new_file(), Spool(tmp_path, budget).new_file()
        for _ in range(140):
            await file.write(b"a: " + b"x" * 9_995 + b"\r\n")
            assert budget.held <= spool.GATHER_OCTETS + 10_000
        before = budget.held
        assert len(file.head) == budget.held - before == spool.HEAD_OCTETS
        await file.finish()
        file.release()
        assert budget.held == 0
        await small.write(b"a: b\r\n\r\nbody")
        assert await small.finish() == b"a: b\r\n\r\nbody"
        assert budget.held == len(b"a: b\r\n\r\nbody") + spool.PIECE_OCTETS
        small.discard()
        assert budget.held == 0

    asyncio.run(write())


def test_small_pieces_count_for_what_they_cost(tmp_path):
    async def write():
        file = Spool(tmp_path).new_file()
        for _ in range(spool.GATHER_OCTETS // spool.PIECE_OCTETS):
            await file.write(b"xx")
        small = file.is_small
        file.discard()
        return small

    assert not asyncio.run(write())


def test_while_much_is_held_messages_go_to_disk_sooner(tmp_path):
    async def write():
        budget = OctetBudget(limit=100_000)
        budget.take(80_000)
        file = Spool(tmp_path, budget).new_file()
        await file.write(b"x" * spool.PRESSED_GATHER_OCTETS)
        assert budget.held == 80_000 and not file.is_small
        file.discard()

    asyncio.run(write())


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
