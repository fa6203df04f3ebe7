"""The accept loop and who is let in by it, over real sockets."""

import asyncio
import errno
import socket
from dataclasses import dataclass

import pytest

from mailsuite.server import entrance as entrance_module
from mailsuite.server.admission import Admission, AdmissionLimits, Denial, Reason
from mailsuite.server.entrance import Door, Entrance
from mailsuite.server.turned_away import TOLD_ONE_BY_ONE


@dataclass(eq=False)
class Guest:
    sock: socket.socket

    def may_give_way(self) -> bool:
        return False

    def give_way(self) -> None:
        raise AssertionError("it may not")


def words(denial: Denial) -> bytes:
    return denial.reason.name.encode()


class House:
    """A door on a port of this host, and who is in."""

    def __init__(self, *, total=9, banned=(), **options):
        # Clients of loopback are counted in total alone.
        self.admission: Admission[Guest] = Admission(
            AdmissionLimits(total, 9), banned=lambda address: address in banned
        )
        self.guests: list[Guest] = []
        self.came: asyncio.Queue[Guest] = asyncio.Queue()
        self.told: list[tuple[str, Denial]] = []
        self.rest: asyncio.Queue[tuple[str, Denial, int]] = asyncio.Queue()
        self.entrance = Entrance(
            self.admission,
            words,
            tell=lambda *told: self.told.append(told),
            tell_rest=lambda *rest: self.rest.put_nowait(rest),
            **options,
        )
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.door = Door(self._listening, self.entrance, self._begin)

    def _begin(self, sock, address):
        assert address == "127.0.0.1" and sock.gettimeout() == 0
        self.guests.append(Guest(sock))
        self.came.put_nowait(self.guests[-1])
        return self.guests[-1]

    def close(self):
        self.door.close()
        for guest in self.guests:
            guest.sock.close()


def scene(coroutine_function, **options):
    async def run():
        house = House(**options)
        try:
            return await coroutine_function(house)
        finally:
            house.close()

    return asyncio.run(run())


async def heard(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def enter(house):
    """Come in, and be counted."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    async with asyncio.timeout(10):
        await house.came.get()
    return writer


def test_a_client_is_counted_before_anything_is_done_for_it():
    async def come(house):
        writer = await enter(house)
        assert [*house.admission] == house.guests
        house.admission.leave(house.guests[0])
        assert len(house.admission) == 0
        writer.close()

    scene(come)


def test_one_too_many_hears_so_and_is_told_of():
    async def come(house):
        writers = [await enter(house) for _ in range(2)]
        assert await heard(house) == b"TOTAL"
        assert house.told == [("127.0.0.1", Denial(Reason.TOTAL))]
        assert len(house.guests) == 2
        for writer in writers:
            writer.close()

    scene(come, total=2)


def test_nothing_is_said_where_tls_begins_the_connection():
    async def come(house):
        writer = await enter(house)
        assert await heard(house) == b""
        assert len(house.told) == 1
        writer.close()

    scene(come, total=1, begins_with_tls=True)


def test_a_ban_is_said_and_not_told():
    async def come(house):
        assert await heard(house) == b"BANNED"
        assert house.told == house.guests == []

    scene(come, banned={"127.0.0.1"})


def test_a_crowd_is_told_of_by_its_number(monkeypatch):
    monkeypatch.setattr("mailsuite.server.turned_away.MINUTE_SECONDS", 0.0)

    async def come(house):
        one, other = socket.socketpair()
        with one, other:
            pass
        for _ in range(TOLD_ONE_BY_ONE + 5):
            assert not house.entrance.lets_in(one, "192.0.2.1")
        assert len(house.told) == TOLD_ONE_BY_ONE
        async with asyncio.timeout(10):
            assert await house.rest.get() == ("192.0.2.1", Denial(Reason.TOTAL), 5)

    scene(come, total=0)


def test_a_door_that_is_closed_accepts_nobody():
    async def come(house):
        house.door.close()
        house.door.close()
        with pytest.raises(ConnectionRefusedError):
            await heard(house)

    scene(come)


def test_a_door_out_of_descriptors_opens_again(monkeypatch):
    monkeypatch.setattr(entrance_module, "PAUSE_SECONDS", 0.0)
    accept_waiting, times = entrance_module.accept_waiting, []

    def fail_once(listening):
        times.append(1)
        if len(times) == 1:
            raise OSError(errno.EMFILE, "too many open files")
        return accept_waiting(listening)

    monkeypatch.setattr(entrance_module, "accept_waiting", fail_once)

    async def come(house):
        (await enter(house)).close()
        assert len(times) > 1

    scene(come)


def test_a_door_that_is_closed_in_its_pause_stays_closed(monkeypatch):
    monkeypatch.setattr(entrance_module, "PAUSE_SECONDS", 0.0)

    def fail(listening):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(entrance_module, "accept_waiting", fail)

    async def come(house):
        house.door._accept()
        house.door.close()
        for _ in range(3):
            await asyncio.sleep(0)

    scene(come)
