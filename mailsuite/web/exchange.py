"""One request and its answer, as gunicorn's threads see them: a socket that never makes them wait.

The poller puts a request here that has come in whole; a thread reads it by `recv` and writes its answer by `sendall`;
the poller sends that as fast as the client takes it. What is large lies in temporary files that have no name.
"""

import socket
from tempfile import SpooledTemporaryFile
from typing import IO, cast

# What of a body and of an answer is held in memory.
BODY_MEMORY_OCTETS = 256 * 1024
ANSWER_MEMORY_OCTETS = 256 * 1024
CHUNK_OCTETS = 64 * 1024


class Exchange:
    """`received` is what came so far: the request's head, and whatever stood behind it."""

    def __init__(self, received: bytes) -> None:
        self._received = received
        self._read_octets = 0
        self._body: SpooledTemporaryFile[bytes] | None = None
        self._answer: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(ANSWER_MEMORY_OCTETS)
        self._chunk = memoryview(b"")
        self.answer_octets = self.body_octets = 0

    # The poller's side

    def unread_octets(self) -> int:
        """How much of what was received first was not read."""
        return len(self._received) - self._read_octets

    def append(self, octets: bytes, *, spool: bool) -> None:
        """Take more of the body; `spool` has it go to disk at once, however small it is."""
        if self._body is None:
            self._body = SpooledTemporaryFile(BODY_MEMORY_OCTETS)
        self._body.write(octets)
        self.body_octets += len(octets)
        if spool:
            self._body.rollover()

    def complete(self) -> None:
        """The request is whole."""
        if self._body is not None:
            self._body.seek(0)

    def rest(self) -> bytes:
        """What stood behind the request and was not read: the next one's beginning."""
        return self._received[self._read_octets :]

    def seal(self, *, spool: bool) -> None:
        """The answer is whole: from here on it is sent."""
        self._close_body()
        if spool:
            self._answer.rollover()
        self._answer.seek(0)

    def memory_octets(self) -> int:
        """What it holds in memory."""
        held = len(self._received) + len(self._chunk)
        for stored, octets in ((self._body, self.body_octets), (self._answer, self.answer_octets)):
            held += octets if stored is not None and not _is_on_disk(stored) else 0
        return held

    def next_chunk(self) -> memoryview:
        """The next octets of the answer to send, b"" at its end. `sent` says how many of them went."""
        if not self._chunk:
            self._chunk = memoryview(self._answer.read(CHUNK_OCTETS))
        return self._chunk

    def sent(self, count: int) -> None:
        self._chunk = self._chunk[count:]

    def discard(self) -> None:
        """Close what lies on disk."""
        self._close_body()
        self._answer.close()

    def _close_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    # What gunicorn takes for a socket

    def recv(self, count: int) -> bytes:
        """The next octets of the request; b"" behind its end, as if the client had gone."""
        if self.unread_octets():
            octets = self._received[self._read_octets : self._read_octets + count]
            self._read_octets += len(octets)
            return octets
        return cast(IO[bytes], self._body).read(count) if self._body is not None else b""

    def sendall(self, octets: bytes) -> None:
        self._answer.write(octets)
        self.answer_octets += len(octets)

    def send(self, octets: bytes) -> int:
        """Nothing: gunicorn says by this alone that a body may come (100), and that has been said."""
        return len(octets)

    def gettimeout(self) -> float | None:
        return 0.0

    def settimeout(self, seconds: float | None) -> None:
        """Nothing: there is nothing to wait for."""

    def setblocking(self, flag: bool) -> None:
        """Nothing: there is nothing to wait for."""

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """Nothing: the poller ends the connection."""

    def close(self) -> None:
        """Nothing: the poller ends the connection."""


def _is_on_disk(stored: SpooledTemporaryFile[bytes]) -> bool:
    return bool(getattr(stored, "_rolled", False))
