"""The doors of the SMTP service: which sockets speak what, on one event loop."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import partial

from mailsuite.access.ban_list import BAN_LIST
from mailsuite.pipeline import decisions, refusing
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.parties import Client
from mailsuite.pipeline.transaction import Services
from mailsuite.server.admission import Admission, Denial, Reason
from mailsuite.server.entrance import Door, Entrance
from mailsuite.server.handshake import HandshakeFailed, take_over
from smtpd_service.inbound.dialog import Terms
from smtpd_service.inbound.limits import SmtpLimits
from smtpd_service.inbound.server import ENDING_SECONDS, Listener, Receiver

logger = logging.getLogger(__name__)


def make_listeners(
    services: Services,
    *,
    mx_admission: Admission[Receiver],
    submission_admission: Admission[Receiver],
    size_limit: int,
    tls: ssl.SSLContext | None,
    limits: SmtpLimits,
) -> dict[str, Listener]:
    """Return the listeners by name: SMTP for other hosts, SUBMISSION and SUBMISSIONS for our users. The two kinds are
    counted apart, so that a crowd at one door does not shut the other."""
    hostname = services.hostname
    mx = Terms(hostname, size_limit, starttls=tls is not None, limits=limits)
    submission = Terms(hostname, size_limit, submission=True, starttls=tls is not None, limits=limits)
    return {
        "SMTP": Listener("SMTP", mx, services, mx_admission, tls),
        "SUBMISSION": Listener("SUBMISSION", submission, services, submission_admission, tls),
        "SUBMISSIONS": Listener("SUBMISSIONS", submission, services, submission_admission, tls, implicit_tls=True),
    }


async def listen(
    listeners: Mapping[str, Listener], sockets: Mapping[str, Sequence[socket.socket]]
) -> list[Door[Receiver]]:
    """Serve the listening sockets, by the name of their listener."""
    Receiver.prepare(asyncio.get_running_loop(), next(iter(listeners.values())).services.hostname)
    return [_open_door(sock, listener) for name, listener in listeners.items() for sock in sockets.get(name, ())]


def _open_door(sock: socket.socket, listener: Listener) -> Door[Receiver]:
    def tell(address: str, denial: Denial) -> None:
        client = Client(address, listener.name)
        refusing.refuse_client(listener.services, listener.intake, client, _refusal(denial))

    def tell_rest(address: str, denial: Denial, count: int) -> None:
        client = Client(address, listener.name)
        refusing.tell_of_more(listener.services, listener.intake, client, _refusal(denial), count)

    entrance = Entrance(
        listener.admission, _words, begins_with_tls=listener.implicit_tls, tell=tell, tell_rest=tell_rest
    )
    return Door(sock, entrance, partial(_begin, listener))


async def close(doors: Sequence[Door[Receiver]], admissions: Sequence[Admission[Receiver]]) -> None:
    """Accept no more, and end what is open: at once where nothing is under way, else within seconds."""
    for door in doors:
        door.close()
    receivers = [receiver for admission in admissions for receiver in admission]
    for receiver in receivers:
        receiver.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDING_SECONDS):
            await asyncio.gather(*(receiver.gone.wait() for receiver in receivers))
    for receiver in receivers:
        receiver.break_off()
    # What was said leaves before the loop ends.
    await asyncio.sleep(0)


def _begin(listener: Listener, sock: socket.socket, address: str) -> Receiver:
    receiver = Receiver(listener, asyncio.get_running_loop(), sock, address)
    receiver.opening = asyncio.ensure_future(_open(receiver, listener, sock, address))
    receiver.opening.add_done_callback(lambda _: _opened(receiver, sock))
    return receiver


def _words(denial: Denial) -> bytes:
    return f"{_refusal(denial).reply}\r\n".encode()


def _refusal(denial: Denial) -> Refusal:
    match denial.reason:
        case Reason.TOTAL:
            return decisions.TOO_MANY_CONNECTIONS
        case Reason.CLIENT:
            return decisions.TOO_MANY_FROM_ADDRESS
    return decisions.BANNED_FOR_NOW if denial.ban.ends_at and denial.ban.reason != "by-hand" else decisions.BANNED


async def _open(receiver: Receiver, listener: Listener, sock: socket.socket, address: str) -> None:
    try:
        await take_over(receiver, sock, listener.tls if listener.implicit_tls else None)
    except HandshakeFailed as failed:
        logger.info("%s: no connection, or no TLS: %s", address, failed)
        if failed.speaks_no_tls:
            BAN_LIST.note(address, "tls-handshake")


def _opened(receiver: Receiver, sock: socket.socket) -> None:
    if not receiver.has_begun:
        receiver.left()
        sock.close()
