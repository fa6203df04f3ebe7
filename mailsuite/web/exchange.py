"""One request and its answer, as gunicorn's threads see them: a socket that never makes them wait.

The poller puts a request here that has come in whole; a thread reads it by `recv` and writes its answer by `sendall`;
the poller sends that as fast as the client takes it. What is large lies in temporary files that have no name.
"""

import io
import logging
import socket
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

logger = logging.getLogger(__name__)

# What of a body and of an answer is held in memory.
BODY_MEMORY_OCTETS = 256 * 1024
ANSWER_MEMORY_OCTETS = 256 * 1024
CHUNK_OCTETS = 64 * 1024


class Exchange:
    """`received` is what came so far: the request's head, and whatever stood behind it."""

    def __init__(self, received: bytes) -> None:
        self._received = received
        self._read_octets = 0
        self._body: Spool | None = None
        self._answer = Spool(ANSWER_MEMORY_OCTETS)
        self._chunk = memoryview(b"")

    # The poller's side

    def unread_octets(self) -> int:
        """How much of what was received first was not read."""
        return len(self._received) - self._read_octets

    def append(self, octets: bytes, *, spool: bool) -> None:
        """Take more of the body; `spool` has it go to disk at once, however small it is. Raises OSError when the disk
        does not take it."""
        if self._body is None:
            self._body = Spool(BODY_MEMORY_OCTETS)
        self._body.write(octets)
        if spool:
            self._body.move_to_disk()

    def body_disk_octets(self) -> int:
        """How much of the body lies on disk."""
        return self._body.octets if self._body is not None and self._body.is_on_disk else 0

    def complete(self) -> None:
        """The request is whole."""
        if self._body is not None:
            self._body.rewind()

    def rest(self) -> bytes:
        """What stood behind the request and was not read: the next one's beginning."""
        return self._received[self._read_octets :]

    def seal(self, *, spool: bool) -> None:
        """The answer is whole: from here on it is sent."""
        self._close_body()
        if spool:
            with suppress(OSError):
                self._answer.move_to_disk()
        self._answer.rewind()

    def memory_octets(self) -> int:
        """What it holds in memory."""
        stored = [one.octets for one in (self._body, self._answer) if one is not None and not one.is_on_disk]
        return len(self._received) + len(self._chunk) + sum(stored)

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
        return self._body.read(count) if self._body is not None else b""

    def sendall(self, octets: bytes) -> None:
        try:
            self._answer.write(octets)
        except OSError as error:
            # Whoever frees a full disk needs pages for it: what was answered stays in memory.
            logger.warning("an answer can't be kept on disk: %s", error)
            self._answer.move_to_memory(octets)

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


class Spool:
    """Octets that are written first and read then: in memory up to `memory_octets`, else in a file without a name."""

    def __init__(self, memory_octets: int) -> None:
        self._memory_octets: float = memory_octets
        self._stored: IO[bytes] = io.BytesIO()
        self.is_on_disk = False
        self.octets = 0

    def write(self, octets: bytes) -> None:
        """Write behind what was written. Raises OSError when the disk does not take it: nothing of it counts then."""
        if self.octets + len(octets) > self._memory_octets:
            self.move_to_disk()
        self._stored.seek(self.octets)
        _write(self._stored, octets)
        self.octets += len(octets)

    def move_to_disk(self) -> None:
        """Raises OSError when the disk does not take it: then it stays where it was."""
        if self.is_on_disk:
            return
        # Without a buffer, which would be written at the close, when it is too late to say that it can't be.
        file = TemporaryFile(buffering=0)
        try:
            _write(file, self._read_all())
        except OSError:
            file.close()
            raise
        self._stored, self.is_on_disk = file, True

    def move_to_memory(self, more: bytes) -> None:
        """Hold it, and what is written from now on, in memory, behind it `more`."""
        held = self._read_all()
        self.close()
        self._stored, self.is_on_disk, self._memory_octets = io.BytesIO(held), False, float("inf")
        self.write(more)

    def rewind(self) -> None:
        self._stored.seek(0)

    def read(self, count: int) -> bytes:
        return self._stored.read(count)

    def close(self) -> None:
        self._stored.close()

    def _read_all(self) -> bytes:
        self._stored.seek(0)
        return self._stored.read(self.octets)


def _write(file: IO[bytes], octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[file.write(left) :]
