"""A message on its way in: in memory, then in a spool file, with its octets counted, whatever the storage is."""

import asyncio
from datetime import UTC, datetime

import pytest
from memory_storage import MemoryStorage

from mailsuite.server.octets import OctetBudget
from mailsuite.server.threads import undisturbed
from mailsuite.writer import spool
from mailsuite.writer.local_storage import LocalStorage
from mailsuite.writer.spool import Spool


@pytest.fixture(params=["local", "memory"])
def storage(request, tmp_path):
    storage = MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "mail")
    storage.prepare()
    return storage


def names_in(storage):
    return list(storage.spooled_before(datetime.max.replace(tzinfo=UTC)))


def content(storage, file, octets: bytes | None) -> bytes:
    """What the writer is given: the octets of a small message, of another its file."""
    assert names_in(storage) == ([] if octets is not None else [file.name])
    if octets is not None:
        return octets
    with storage.open_spooled(file.name) as opened:
        return opened.read()


@pytest.mark.parametrize("size", [0, 1, spool.GATHER_OCTETS - 1000, spool.GATHER_OCTETS * 3 + 5])
def test_written_in_pieces_read_whole(storage, size):
    async def write():
        file, octets = Spool(storage).new_file(), b"x" * size
        for start in range(0, size, 10_000):
            await file.write(octets[start : start + 10_000])
        assert b"".join(file.chunks(7)) == octets[7:]
        return file, await file.finish()

    file, octets = asyncio.run(write())
    assert (octets is None) == (size >= spool.GATHER_OCTETS)
    assert content(storage, file, octets) == b"x" * size
    assert file.size_octets == size


@pytest.mark.parametrize("size", [10, spool.GATHER_OCTETS * 20])
def test_head_is_replaced(storage, size):
    async def write():
        file = Spool(storage).new_file()
        await file.write(b"old head")
        await file.write(b"b" * size)
        await undisturbed(lambda: file.replace_head(8, b"another head"))
        return file, await file.finish()

    file, octets = asyncio.run(write())
    assert content(storage, file, octets) == b"another head" + b"b" * size
    assert file.size_octets == 12 + size


@pytest.mark.parametrize("step", [1, 2, 3, 1000, 200_000])
def test_the_head_ends_with_the_header(storage, step):
    header, body = b"Subject: x\r\nTo: y\r\n\r\n", b"b" * 100_000

    async def write(octets):
        file = Spool(storage).new_file()
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
def test_the_head_is_what_was_received_whatever_stands_in_its_place(storage, small):
    async def write():
        file = Spool(storage).new_file()
        await file.write(b"a: b\r\n\r\n" + b"b" * (10 if small else spool.GATHER_OCTETS))
        assert file.is_small is small
        head = file.head
        await undisturbed(lambda: file.replace_head(len(head), b"another"))
        return head, file.head

    assert asyncio.run(write()) == (b"a: b\r\n\r\n", b"a: b\r\n\r\n")


def test_what_is_held_in_memory_is_counted_and_nothing_twice(storage):
    async def write():
        budget = OctetBudget()
        file, small = Spool(storage, budget).new_file(), Spool(storage, budget).new_file()
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


def test_small_pieces_count_for_what_they_cost(storage):
    async def write():
        file = Spool(storage).new_file()
        for _ in range(spool.GATHER_OCTETS // spool.PIECE_OCTETS):
            await file.write(b"xx")
        small = file.is_small
        file.discard()
        return small

    assert not asyncio.run(write())


def test_while_much_is_held_messages_go_to_disk_sooner(storage):
    async def write():
        budget = OctetBudget(limit=100_000)
        budget.take(80_000)
        file = Spool(storage, budget).new_file()
        await file.write(b"x" * spool.PRESSED_GATHER_OCTETS)
        assert budget.held == 80_000 and not file.is_small
        file.discard()

    asyncio.run(write())


def test_discarded_at_any_time(storage):
    async def discard(size):
        file = Spool(storage).new_file()
        await file.write(b"x" * size)
        file.discard()

    for size in (0, 5, spool.GATHER_OCTETS):
        asyncio.run(discard(size))
    assert names_in(storage) == []


def test_eight_bit_is_seen(storage):
    async def write(octets):
        file = Spool(storage).new_file()
        await file.write(b"ascii")
        await file.write(octets)
        return file.eight_bit

    assert asyncio.run(write(b"\xe4"))
    assert not asyncio.run(write(b"a"))
