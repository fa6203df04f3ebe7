"""The doors of the SMTP service: which sockets speak what, on one event loop."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import partial

from mailsuite.abuse.gate import GATE
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.delivery_plan import Client
from mailsuite.pipeline.transaction import Services
from mailsuite.server.accepting import Door, say_and_close
from mailsuite.server.admission import Admission, Denial, Reason
from mailsuite.server.turned_away import TurnedAway
from mailsuite.tls import speaks_no_tls
from smtpd_service.inbound.dialog import Terms
from smtpd_service.inbound.server import ENDING_SECONDS, HANDSHAKE_SECONDS, Listener, Receiver

logger = logging.getLogger(__name__)


def make_listeners(
    surroundings: Services,
    *,
    mx_admission: Admission[Receiver],
    submission_admission: Admission[Receiver],
    size_limit: int,
    tls: ssl.SSLContext | None,
) -> dict[str, Listener]:
    """Return the listeners by name: SMTP for other hosts, SUBMISSION and SUBMISSIONS for our users. The two kinds are
    counted apart, so that a crowd at one door does not shut the other."""
    hostname = surroundings.hostname
    mx = Terms(hostname, size_limit, starttls=tls is not None)
    submission = Terms(hostname, size_limit, submission=True, starttls=tls is not None)
    return {
        "SMTP": Listener("SMTP", mx, surroundings, mx_admission, tls),
        "SUBMISSION": Listener("SUBMISSION", submission, surroundings, submission_admission, tls),
        "SUBMISSIONS": Listener("SUBMISSIONS", submission, surroundings, submission_admission, tls, implicit_tls=True),
    }


async def listen(listeners: Mapping[str, Listener], sockets: Mapping[str, Sequence[socket.socket]]) -> list[Door]:
    """Serve the listening sockets, by the name of their listener."""
    Receiver.prepare(asyncio.get_running_loop(), next(iter(listeners.values())).surroundings.hostname)
    return [_open_door(sock, listener) for name, listener in listeners.items() for sock in sockets.get(name, ())]


def _open_door(sock: socket.socket, listener: Listener) -> Door:
    def tell_rest(address: str, refusal: Refusal, count: int) -> None:
        listener.reception(Client(address, listener.name)).tell_of_more(refusal, count)

    return Door(sock, partial(_accepted, listener, TurnedAway(tell_rest)))


async def close(doors: Sequence[Door], admissions: Sequence[Admission[Receiver]]) -> None:
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


def _accepted(listener: Listener, turned_away: TurnedAway[Refusal], sock: socket.socket, address: str) -> None:
    """Let a client in, or not. It is counted here, before TLS: a handshake costs."""
    if denial := listener.admission.deny(address):
        refusal = _refusal(denial)
        # A ban counts by itself, and costs no story.
        if denial.reason is not Reason.BANNED and turned_away.note(address, refusal):
            listener.reception(Client(address, listener.name)).refuse(refusal)
        # Nothing can be said before the handshake, and that is what we have no room for.
        say_and_close(sock, b"" if listener.implicit_tls else f"{refusal.reply}\r\n".encode())
        return
    receiver = Receiver(listener, asyncio.get_running_loop(), sock, address)
    listener.admission.enter(receiver, address)
    receiver.opening = asyncio.ensure_future(_open(receiver, listener, sock, address))
    receiver.opening.add_done_callback(lambda _: _opened(receiver, sock))


def _refusal(denial: Denial) -> Refusal:
    match denial.reason:
        case Reason.TOTAL:
            return decisions.TOO_MANY_CONNECTIONS
        case Reason.CLIENT:
            return decisions.TOO_MANY_FROM_ADDRESS
    return decisions.BANNED_FOR_NOW if denial.ban.ends_at and denial.ban.reason != "by-hand" else decisions.BANNED


async def _open(receiver: Receiver, listener: Listener, sock: socket.socket, address: str) -> None:
    tls, seconds = (listener.tls, HANDSHAKE_SECONDS) if listener.implicit_tls else (None, None)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: receiver, sock, ssl=tls, ssl_handshake_timeout=seconds
        )
    except (OSError, TimeoutError) as error:
        logger.info("%s: no connection, or no TLS: %s", address, error)
        if speaks_no_tls(error):
            GATE.note(address, "tls-handshake")


def _opened(receiver: Receiver, sock: socket.socket) -> None:
    if not receiver.has_begun:
        receiver.left()
        sock.close()
