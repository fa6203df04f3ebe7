"""One client's connection as something to wait for, take from and send to: TCP at first, TLS when told.

A Protocol of its own and not asyncio's StreamReader, which costs several times the memory of an idle connection.
Neither side's pace can fill our memory: reading stops while enough waits unread, sending waits for the client to read.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from mailsuite.server.accepting import acknowledge_at_once
from mailsuite.server.handshake import CLOSE_SECONDS, HandshakeFailed, start_tls, take_over
from mailsuite.server.octets import OctetBudget


class ConnectionEnded(Exception):
    """The connection is of no use any more; the text says why, for the log."""


class NoTls(ConnectionEnded):
    """The client sent something else than TLS where TLS begins."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`send_seconds`: how long a client may take to read `unsent_octets` before it is cut off."""

    unread_octets: int = 128 * 1024
    unsent_octets: int = 128 * 1024
    send_seconds: float = 120.0


class Stream(asyncio.Protocol):
    """`open` it, then `wait`, `take` and `send` in one task, and `close` it. `on_lost` is called once the connection is
    gone. What it holds is counted in the budget of all connections."""

    __slots__ = (
        *("_abortion", "_budget", "_eof", "_held", "_is_tight", "_limits", "_lost", "_reading", "_received"),
        *("_send_waiter", "_tls_active", "_transport", "_wait_waiter", "_woken", "_writable", "on_lost", "_socket"),
    )

    def __init__(self, limits: StreamLimits, budget: OctetBudget) -> None:
        self._limits, self._budget = limits, budget
        self._held, self._is_tight = 0, False
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._eof = self._lost = self._woken = self._tls_active = False
        self._reading = self._writable = True
        self._abortion: asyncio.TimerHandle | None = None
        self.on_lost: Callable[[], object] | None = None
        self._wait_waiter: asyncio.Future[None] | None = None
        self._send_waiter: asyncio.Future[None] | None = None

    async def open(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Takes over an accepted socket, under TLS when there is a context. Raises ConnectionEnded."""
        self._tls_active, self._socket = context is not None, sock
        try:
            await take_over(self, sock, context)
        except HandshakeFailed as failed:
            raise _ended(failed, "the connection") from None

    async def wait(self, seconds: float) -> None:
        """Returns when there is something to take, the stream has ended, or `wake` was called. Raises TimeoutError."""
        if not (self._received or self._eof or self._woken):
            self._wait_waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._wait_waiter
            finally:
                self._wait_waiter = None
        self._woken = False

    def acknowledge_at_once(self) -> None:
        """Has the client hear that its octets came before there is an answer: the rest may wait for that."""
        if self._socket is not None and not self.has_input:
            acknowledge_at_once(self._socket)

    def wake(self) -> None:
        """Has the waiter look around."""
        self._woken = True
        _settle(self._wait_waiter)

    def keeps(self, count: int) -> None:
        """Takes note how much the session holds of what it took: the rest is dealt with."""
        held = 0 if self._lost else len(self._received) + count
        if held > self._held:
            self._budget.take(held - self._held)
        elif held < self._held:
            self._budget.give(self._held - held)
        self._held = held

    @property
    def holds_too_much(self) -> bool:
        """Whether this connection is one of those that must give something up, because all hold too much."""
        return self._budget.is_spent and self._held > self._budget.even_share

    @property
    def is_unread(self) -> bool:
        """Whether `send` waits for the client to read."""
        return self._send_waiter is not None

    @property
    def has_input(self) -> bool:
        """True when `take` has octets, or the end of the stream, to give."""
        return bool(self._received) or self._eof

    def take(self) -> bytes:
        """What was received since the last time; b"" is the end of the stream. Raises ConnectionEnded."""
        if self._received:
            octets = bytes(self._received)
            self._received.clear()
            self._resume()
            return octets
        if self._lost:
            raise ConnectionEnded("the client is gone")
        return b""

    def stop_reading(self) -> None:
        """Leaves what comes from now on to the kernel, until `take` or `start_tls`."""
        if self._reading and not self._lost and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    async def send(self, octets: bytes) -> None:
        """Hands the octets on; waits while too many are unsent. Raises ConnectionEnded."""
        if self._lost or self._transport is None:
            raise ConnectionEnded("the client is gone")
        if self._is_tight is not self._budget.is_pressed:
            self._is_tight = self._budget.is_pressed
            self._limit_unsent(self._transport)
        self._transport.write(octets)
        if self._writable:
            return
        unsent = self._transport.get_write_buffer_size()
        self._budget.take(unsent)
        self._send_waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._send_waiter
        except TimeoutError:
            self.abort()
            raise ConnectionEnded("the client does not read") from None
        finally:
            self._send_waiter = None
            self._budget.give(unsent)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Goes on under TLS; what came in clear text and was not taken yet is thrown away. Raises ConnectionEnded."""
        self._received.clear()
        self._resume()
        if self._lost or self._transport is None:
            raise ConnectionEnded("the client is gone")
        try:
            self._transport = await start_tls(self._transport, self, context)
        except HandshakeFailed as failed:
            self.abort()
            raise _ended(failed, "TLS") from None
        self._tls_active = True
        self._limit_unsent(self._transport)

    def close(self) -> None:
        """Sends what is unsent, if the client takes it soon, and closes."""
        if self._transport is not None and not self._lost:
            self._transport.close()
            self.abort_after(CLOSE_SECONDS)

    def abort(self) -> None:
        """Closes at once."""
        if self._transport is not None and not self._lost:
            self._transport.abort()

    def abort_after(self, seconds: float) -> None:
        """Closes then, if it is not closed by itself before."""
        if self._abortion is None and not self._lost:
            self._abortion = asyncio.get_running_loop().call_later(seconds, self.abort)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the transport, and bounds what waits in it to be sent."""
        self._transport = cast(asyncio.Transport, transport)
        self._limit_unsent(self._transport)

    def data_received(self, data: bytes) -> None:
        """Keeps the octets for `take`; reading stops while too many wait."""
        self._received += data
        self._held += len(data)
        self._budget.take(len(data))
        limit = self._budget.even_share if self._budget.is_pressed else self._limits.unread_octets
        if len(self._received) > limit:
            self.stop_reading()
        _settle(self._wait_waiter)

    def eof_received(self) -> bool:
        """A client that has only closed its sending side still gets its answers; under TLS there is no such thing."""
        self._eof = True
        _settle(self._wait_waiter)
        return not self._tls_active

    def connection_lost(self, exc: Exception | None) -> None:
        """Has whoever waits or sends learn that the client is gone."""
        self._lost = self._eof = True
        self.keeps(0)
        if self._abortion is not None:
            # The timer would keep the connection's memory as long as it waits.
            self._abortion.cancel()
        if self.on_lost is not None:
            self.on_lost()
        _settle(self._wait_waiter)
        self.resume_writing()

    def pause_writing(self) -> None:
        """Has `send` wait from now on."""
        self._writable = False

    def resume_writing(self) -> None:
        """Lets `send` go on."""
        self._writable = True
        _settle(self._send_waiter)

    def _limit_unsent(self, transport: asyncio.WriteTransport) -> None:
        limit = self._budget.even_share if self._is_tight else self._limits.unsent_octets
        transport.set_write_buffer_limits(limit)

    def _resume(self) -> None:
        if not self._reading and not self._lost and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()


def _ended(failed: HandshakeFailed, what: str) -> ConnectionEnded:
    return (NoTls if failed.speaks_no_tls else ConnectionEnded)(f"{what} came to nothing: {failed}")


def _settle(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
