"""The doors of the SMTP service: which sockets speak what, on one event loop."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Protocol

from mailsuite.abuse.gate import GATE
from mailsuite.tls import speaks_no_tls
from smtpd_service.inbound.admission import Admission
from smtpd_service.inbound.dialog import Terms
from smtpd_service.inbound.reception import Surroundings
from smtpd_service.inbound.server import ENDING_SECONDS, HANDSHAKE_SECONDS, Listener, Receiver, client_address

logger = logging.getLogger(__name__)

ACCEPTED_AT_ONCE = 50
PAUSE_SECONDS = 0.2


def make_listeners(
    surroundings: Surroundings,
    *,
    mx_admission: Admission,
    submission_admission: Admission,
    size_limit: int,
    mx_tls: ssl.SSLContext | None,
    submission_tls: ssl.SSLContext | None,
) -> dict[str, Listener]:
    """Return the listeners by name: SMTP for other hosts, SUBMISSION and SUBMISSIONS for our users. The two kinds are
    counted apart, so that a crowd at one door does not shut the other."""
    hostname = surroundings.hostname
    mx = Terms(hostname, size_limit, starttls=mx_tls is not None)
    submission = Terms(hostname, size_limit, submission=True, starttls=submission_tls is not None)
    return {
        "SMTP": Listener("SMTP", mx, surroundings, mx_admission, mx_tls),
        "SUBMISSION": Listener("SUBMISSION", submission, surroundings, submission_admission, submission_tls),
        "SUBMISSIONS": Listener(
            "SUBMISSIONS", submission, surroundings, submission_admission, submission_tls, implicit_tls=True
        ),
    }


class Door(Protocol):
    """What accepts connections until it is closed."""

    def close(self) -> None: ...


async def listen(listeners: Mapping[str, Listener], sockets: Mapping[str, Sequence[socket.socket]]) -> list[Door]:
    """Serve the listening, non-blocking sockets, by the name of their listener."""
    loop = asyncio.get_running_loop()
    Receiver.prepare(loop, next(iter(listeners.values())).surroundings.hostname)
    doors: list[Door] = []
    for name, listener in listeners.items():
        for sock in sockets.get(name, ()):
            doors.append(TlsDoor(listener, loop, sock) if listener.implicit_tls else await _serve(listener, loop, sock))
    return doors


async def _serve(listener: Listener, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> Door:
    return await loop.create_server(lambda: Receiver(listener, loop), sock=sock)


class TlsDoor:
    """Accepts for a listener of implicit TLS. The loop's own server would show us a client only after its handshake,
    which is what costs: here it is counted first."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._listener, self._loop, self._socket = listener, loop, sock
        self._handshakes: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept no more."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for task in self._handshakes:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No descriptor is free: connections that end will free some.
                logger.error("can't accept: %s", error)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(PAUSE_SECONDS, self._go_on)
                return
            self._admit(connection, client_address(peer))

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _admit(self, connection: socket.socket, address: str) -> None:
        receiver = Receiver(self._listener, self._loop)
        if refusal := self._listener.admission.admit(receiver, address):
            # Nothing can be said before the handshake, and that is what we have no room for.
            receiver.refuse(refusal, address)
            connection.close()
            return
        task = self._loop.create_task(self._open(receiver, connection, address))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _open(self, receiver: Receiver, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(
                lambda: receiver, connection, ssl=self._listener.tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, TimeoutError) as error:
            logger.info("%s: TLS handshake failed: %s", address, error)
            if speaks_no_tls(error):
                GATE.note(address, "tls-handshake")
        finally:
            if not receiver.has_begun:
                self._listener.admission.leave(receiver, address)


async def close(doors: Sequence[Door], admissions: Sequence[Admission]) -> None:
    """Accept no more, and end what is open: at once where nothing is under way, else within seconds."""
    for door in doors:
        door.close()
    for admission in admissions:
        admission.end_all()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDING_SECONDS):
            await asyncio.gather(*(admission.emptied() for admission in admissions))
