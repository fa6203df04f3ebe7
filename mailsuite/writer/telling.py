"""Talking to the writer's service without an event loop: is it well, and what did another transaction change."""

import logging
import socket
import time
from pathlib import Path

from django.conf import settings

from mailsuite.writer import wire
from mailsuite.writer.operation import Ping, StoreUnavailable, Touched

logger = logging.getLogger(__name__)


def ping(path: Path | str, seconds: float = Ping.limit_seconds) -> None:
    """Returns when the store service has answered, and had its turn to write. Raises StoreUnavailable."""
    frames, deadline = wire.Frames(), time.monotonic() + seconds
    answers: list[bytes] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(wire.request(1, Ping(), deadline))
            while not answers and (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                answers = frames.feed(connection.recv(1 << 12) or wire.answer(1, wire.Status.UNAVAILABLE, "closed"))
    except TimeoutError:
        pass
    except OSError as error:
        raise StoreUnavailable(error.strerror or str(error)) from None
    if not answers:
        raise StoreUnavailable(f"no answer within {seconds:g} s")
    _, status, payload = wire.read_answer(answers[0])
    if status is not wire.Status.DONE:
        raise StoreUnavailable(wire.decode(payload, str))


def tell_service(folder_ids: list[int]) -> None:
    """Tells the service of folders (or, by an empty list, of queue rows) that another transaction changed.

    Best effort: a hint that is lost costs a moment, since watchers look for themselves now and then.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(0.2)
            connection.connect(str(settings.MAILSUITE.store_socket))
            connection.sendall(wire.request(0, Touched(folder_ids)))
    except OSError as error:
        logger.debug("no store service to tell: %s", error)
