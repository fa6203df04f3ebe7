"""How operations and answers cross the store's socket: frames of a 4-octet length and MessagePack (msgspec).

A request is (id, operation, deadline), an answer (id, status, payload). Requests of one connection may be answered in
any order. A deadline is a time of the monotonic clock, which all processes of a host share; 0 is none. Frames with id 0
are hints. No frame is built that `Frames` would refuse, since its reader could only hang up, on everybody: what is too
large is told to whoever asked. The socket is in the data folder, for this installation's own processes only.
"""

from enum import IntEnum
from functools import cache
from types import GenericAlias
from typing import Any

import msgspec

from mailsuite.writer import registry

MAX_FRAME = 64 * 1024 * 1024
HEADER = 4


class Status(IntEnum):
    DONE = 0
    REFUSED = 1
    BUG = 2
    UNAVAILABLE = 3
    # It was done, but what there is to tell of it fits into no frame.
    TOO_LARGE = 4


_encoder = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(tuple[int, int, msgspec.Raw])


class WireError(Exception):
    """The other side does not speak this language."""


class TooLarge(ValueError):
    """The operation fits into no frame: it must be asked for in parts."""


def request(request_id: int, operation: Any, deadline: float = 0.0) -> bytes:
    """The frame that asks for an operation. Raises TooLarge."""
    payload = _encoder.encode((request_id, operation, deadline))
    if len(payload) > MAX_FRAME:
        raise TooLarge(f"{type(operation).__name__} of {len(payload)} octets")
    return _framed(payload)


def answer(request_id: int, status: Status, payload: Any) -> bytes:
    """The frame that answers; one with TOO_LARGE where the answer fits into none."""
    octets = _encoder.encode((request_id, int(status), payload))
    if len(octets) > MAX_FRAME:
        octets = _encoder.encode((request_id, int(Status.TOO_LARGE), None))
    return _framed(octets)


@cache
def _requests() -> "msgspec.msgpack.Decoder[Any]":
    """Made when all apps have said what they ask for."""
    return msgspec.msgpack.Decoder(GenericAlias(tuple, (int, registry.any_operation(), float)))


def read_request(frame: bytes) -> tuple[int, Any, float]:
    """The request in a frame: its id, the operation, and its deadline by the monotonic clock, 0 for none. Raises
    WireError."""
    try:
        request: tuple[int, Any, float] = _requests().decode(frame)
        return request
    except msgspec.MsgspecError as error:
        raise WireError(str(error)) from None


def read_answer(frame: bytes) -> tuple[int, Status, msgspec.Raw]:
    """The answer in a frame: the request's id, its status, and what `decode` reads. Raises WireError."""
    try:
        request_id, status, payload = _answers.decode(frame)
        return request_id, Status(status), payload
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(str(error)) from None


def decode(payload: msgspec.Raw, wanted: Any) -> Any:
    """The payload of an answer as a value of the wanted type. Raises msgspec.MsgspecError."""
    return msgspec.msgpack.decode(payload, type=wanted)


class Frames:
    """Octets in as they come, whole frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole with these octets, without their lengths. Raises WireError for one that is larger
        than any may be; nothing can be read after it."""
        self._buffer += data
        frames, start = [], 0
        while len(self._buffer) - start >= HEADER:
            length = int.from_bytes(self._buffer[start : start + HEADER])
            if length > MAX_FRAME:
                raise WireError(f"a frame of {length} octets")
            end = start + HEADER + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + HEADER : end]))
            start = end
        del self._buffer[:start]
        return frames


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(HEADER) + payload
