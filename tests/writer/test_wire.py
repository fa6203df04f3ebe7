"""Frames: none is built that its reader would refuse, and what is too large is told to whoever asked."""

import asyncio
import os
import socket
import threading
from types import SimpleNamespace

import pytest

from mailsuite.store.operations import CopyAnswer, StoreFlags, StoreFlagsAnswer
from mailsuite.writer import client, daemon, wire
from mailsuite.writer.operation import Refused, StoreBug, Touched


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(wire, "MAX_FRAME", 1000)


def flags(count):
    return StoreFlags(1, 1, list(range(2**20, 2**20 + count)), "add", 1)


def test_what_is_built_is_read():
    """Up to the last octet."""
    built = 0
    for count in range(170, 220):
        try:
            frame = wire.request(7, flags(count))
        except wire.TooLarge:
            continue
        built += 1
        [payload] = wire.Frames().feed(frame)
        assert wire.read_request(payload) == (7, flags(count), 0.0)
    assert 0 < built < 50
    with pytest.raises(wire.WireError):
        wire.Frames().feed((1001).to_bytes(wire.HEADER))


def test_frames_come_out_whole_however_they_came_in():
    frames = [wire.request(number, flags(number)) for number in range(3)]
    whole = b"".join(frames)
    for cut in range(len(whole) + 1):
        reader = wire.Frames()
        payloads = reader.feed(whole[:cut]) + reader.feed(whole[cut:])
        assert [wire.read_request(payload)[0] for payload in payloads] == [0, 1, 2]
    reader = wire.Frames()
    assert [payload for octet in whole for payload in reader.feed(bytes([octet]))] == [f[wire.HEADER :] for f in frames]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x90", b"\x93\x01\x80\xcb" + bytes(8), b"\x93\x01\x02\x03"])
def test_what_is_no_request_or_answer_is_told(payload):
    with pytest.raises(wire.WireError):
        wire.read_request(payload)
    with pytest.raises(wire.WireError):
        wire.read_answer(payload[:2])


def test_a_status_that_nobody_knows_is_no_answer():
    [payload] = wire.Frames().feed(wire.answer(7, wire.Status.DONE, None))
    assert wire.read_answer(payload)[:2] == (7, wire.Status.DONE)
    with pytest.raises(wire.WireError):
        wire.read_answer(payload[:2] + b"\x63" + payload[3:])


def test_an_answer_that_fits_into_no_frame_says_so():
    large = CopyAnswer(1, [(number, number) for number in range(1000)])
    [payload] = wire.Frames().feed(wire.answer(7, wire.Status.DONE, large))
    assert wire.read_answer(payload)[:2] == (7, wire.Status.TOO_LARGE)


def test_the_asker_is_told_and_the_others_go_on(tmp_path):
    """Against a store that answers each operation, one of them with too much."""
    path = tmp_path / "socket"
    listener = socket.create_server(str(path), family=socket.AF_UNIX)
    served = []

    def serve():
        connection, _ = listener.accept()
        frames = wire.Frames()
        with connection:
            while data := connection.recv(1 << 16):
                for frame in frames.feed(data):
                    request_id, operation, _ = wire.read_request(frame)
                    served.append(operation)
                    modified = list(range(1000)) if len(operation.uids) == 2 else []
                    answer = StoreFlagsAnswer([], modified)
                    connection.sendall(wire.answer(request_id, wire.Status.DONE, answer))

    thread = threading.Thread(target=serve)
    thread.start()

    async def ask():
        store = client.StoreClient(path)
        first = await store.run(flags(1))
        with pytest.raises(Refused) as refused:
            await store.run(flags(1000))
        store.send(Touched(list(range(10_000))))
        with pytest.raises(StoreBug, match="done, but too large"):
            await store.run(flags(2))
        last = await store.run(flags(3))
        await store.close()
        return first, refused.value.code, last

    nothing = StoreFlagsAnswer([], [])
    assert asyncio.run(ask()) == (nothing, "limit", nothing)
    thread.join()
    listener.close()
    assert [len(operation.uids) for operation in served] == [1, 2, 3]


class Selector:
    """Forgets what it is told."""

    def get_key(self, sock):
        return SimpleNamespace(events=0, data=None)

    def modify(self, *arguments):
        pass

    def unregister(self, sock):
        pass


def test_answers_that_the_asker_had_no_time_to_read_cut_nobody_off_but_hints_do(monkeypatch):
    monkeypatch.setattr(daemon, "MAX_UNSENT", 100_000)
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    ours.setblocking(False)
    with ours, theirs:
        store = object.__new__(daemon.StoreService)
        connection = daemon.Connection(ours)
        connection.watches = True
        store._selector, store._connections = Selector(), {connection}
        store._ready, store._large, store._children = [], [], {}
        for _ in range(10):
            store._send(connection, os.urandom(100_000))
        assert not connection.closed and len(connection.output) > 100_000
        store._hint([1], queued=False)
        assert connection.closed
