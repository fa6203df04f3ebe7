"""TLS with a client, from its first octet or after STARTTLS: what it may take, and what it means when it fails."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailsuite.tls import speaks_no_tls

# What a client has for the whole handshake, and what its own last word is waited for when we close.
HANDSHAKE_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class HandshakeFailed(ConnectionError):
    """There is no connection, or no TLS on it; str() says why, for the log. `speaks_no_tls`: the client sent something
    else where TLS begins, which counts against it (mailsuite.access.offences)."""

    def __init__(self, error: OSError | TimeoutError) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.speaks_no_tls = speaks_no_tls(error)


@asynccontextmanager
async def handshake(seconds: float = HANDSHAKE_SECONDS) -> AsyncIterator[None]:
    """What fails within, or takes longer than asyncio's own limit of so many seconds lets it, is a handshake that
    failed. Raises HandshakeFailed."""
    try:
        async with asyncio.timeout(seconds + CLOSE_SECONDS):
            yield
    except (OSError, TimeoutError) as error:
        raise HandshakeFailed(error) from error


async def take_over(
    protocol: asyncio.BaseProtocol,
    sock: socket.socket,
    context: ssl.SSLContext | None,
    seconds: float = HANDSHAKE_SECONDS,
) -> None:
    """Have the protocol run an accepted socket, under TLS where there is a context. Raises HandshakeFailed."""
    limits = (seconds, CLOSE_SECONDS) if context else (None, None)
    async with handshake(seconds):
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol, sock, ssl=context, ssl_handshake_timeout=limits[0], ssl_shutdown_timeout=limits[1]
        )


async def start_tls(
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    context: ssl.SSLContext,
    seconds: float = HANDSHAKE_SECONDS,
) -> asyncio.Transport:
    """Return the transport that goes on under TLS (STARTTLS, at the server's side). Raises HandshakeFailed."""
    async with handshake(seconds):
        if transport.is_closing():
            # asyncio would wait for a handshake on it.
            raise ConnectionResetError("the client is gone")
        upgraded = await asyncio.get_running_loop().start_tls(
            *(transport, protocol, context),
            server_side=True,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=CLOSE_SECONDS,
        )
        if upgraded is None:
            raise ConnectionResetError("the client is gone")
    return upgraded
