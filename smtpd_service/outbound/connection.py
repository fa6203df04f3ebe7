"""One TCP connection to a remote host: octets out and in, with back-pressure, and TLS from the start or later."""

import _ssl
import asyncio
import contextlib
import ssl
from typing import cast

CONNECT_SECONDS = 30.0
HANDSHAKE_SECONDS = 30.0
CLOSE_SECONDS = 1.0
_HIGH_WATER = 256 * 1024


class Connection(asyncio.Protocol):
    """Made by `connect`. One task sends and receives."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._ended = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()

    async def receive(self) -> bytes:
        """The next octets; none once the other side has closed."""
        while not self._received and not self._ended:
            await self._wait()
        return self.received_already()

    def received_already(self) -> bytes:
        """What is here without waiting."""
        data = bytes(self._received)
        self._received.clear()
        if self._transport and not self._ended:
            self._transport.resume_reading()
        return data

    @property
    def has_news(self) -> bool:
        """Whether `receive` would return at once."""
        return bool(self._received) or self._ended

    async def send(self, data: bytes) -> None:
        """Hands octets to the kernel; waits while too many are on their way. Says nothing of a connection that broke:
        `receive` does."""
        assert self._transport is not None
        if data and not self._ended:
            self._transport.write(data)
        while self._paused and not self._ended and not self._received:
            await self._wait()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> str:
        """Does the handshake; returns version and cipher. Raises OSError (ssl.SSLError is one)."""
        assert self._transport is not None
        if self._received:
            raise ConnectionError("there were octets in clear before the handshake")
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
        if transport is None:
            raise ConnectionError("the connection broke during the handshake")
        self._transport = transport
        return self.tls

    @property
    def tls(self) -> str:
        assert self._transport is not None
        found = self._transport.get_extra_info("ssl_object")
        cipher = found.cipher() if found else None
        return f"{found.version()} {cipher[0]}" if cipher else ""

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """What the other side sent in the handshake, DER, its own certificate first; nothing of it is verified."""
        assert self._transport is not None
        found = self._transport.get_extra_info("ssl_object")
        if found is None:
            return ()
        if hasattr(found, "get_unverified_chain"):
            return tuple(found.get_unverified_chain())
        # Public from Python 3.13 on.
        return tuple(one.public_bytes(_ssl.ENCODING_DER) for one in found._sslobj.get_unverified_chain() or ())

    @property
    def addresses(self) -> tuple[str, str]:
        """Ours and theirs."""
        assert self._transport is not None
        ours, theirs = self._transport.get_extra_info("sockname"), self._transport.get_extra_info("peername")
        return (ours[0] if ours else "", theirs[0] if theirs else "")

    def abort(self) -> None:
        """Closes at once; what was not sent yet never is. No TLS farewell: SMTP says its own."""
        if self._transport:
            self._transport.abort()

    async def close(self) -> None:
        """Closes at once and waits until that is done; not for ever, since a failed handshake may swallow the news."""
        self.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._lost.wait()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _HIGH_WATER and self._transport:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._lost.set()
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


async def connect(address: str, port: int, source: str = "") -> Connection:
    """A connection, from `source` where one is given. Raises OSError, TimeoutError among them, when there is none to be
    had."""
    local = (source, 0) if source else None
    async with asyncio.timeout(CONNECT_SECONDS):
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Connection, address, port, local_addr=local)
    return protocol
