"""The doors of the SMTP service: which sockets speak what, on one event loop."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence

from smtpd_service.inbound.admission import Admission
from smtpd_service.inbound.dialog import Terms
from smtpd_service.inbound.reception import Surroundings
from smtpd_service.inbound.server import ENDING_SECONDS, HANDSHAKE_SECONDS, Listener, Receiver


def make_listeners(
    surroundings: Surroundings,
    admission: Admission,
    *,
    size_limit: int,
    mx_tls: ssl.SSLContext | None,
    submission_tls: ssl.SSLContext | None,
) -> dict[str, Listener]:
    """Return the listeners by name: SMTP for other hosts, SUBMISSION and SUBMISSIONS for our users."""
    hostname = surroundings.hostname
    mx = Terms(hostname, size_limit, starttls=mx_tls is not None)
    submission = Terms(hostname, size_limit, submission=True, starttls=submission_tls is not None)
    return {
        "SMTP": Listener("SMTP", mx, surroundings, admission, mx_tls),
        "SUBMISSION": Listener("SUBMISSION", submission, surroundings, admission, submission_tls),
        "SUBMISSIONS": Listener("SUBMISSIONS", submission, surroundings, admission, submission_tls, implicit_tls=True),
    }


async def listen(
    listeners: Mapping[str, Listener], sockets: Mapping[str, Sequence[socket.socket]]
) -> list[asyncio.Server]:
    """Serve the sockets, by the name of their listener."""
    loop = asyncio.get_running_loop()
    hostname = next(iter(listeners.values())).surroundings.hostname
    Receiver.prepare(loop, hostname)
    servers = []
    for name, listener in listeners.items():
        for sock in sockets.get(name, ()):
            servers.append(await _serve(loop, listener, sock))
    return servers


async def _serve(loop: asyncio.AbstractEventLoop, listener: Listener, sock: socket.socket) -> asyncio.Server:
    if listener.implicit_tls:
        return await loop.create_server(
            lambda: Receiver(listener, loop), sock=sock, ssl=listener.tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    return await loop.create_server(lambda: Receiver(listener, loop), sock=sock)


async def close(servers: Sequence[asyncio.Server], admission: Admission) -> None:
    """Accept no more, and end what is open: at once where nothing is under way, else within seconds."""
    for server in servers:
        server.close()
    admission.end_all()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDING_SECONDS):
            await admission.emptied()
