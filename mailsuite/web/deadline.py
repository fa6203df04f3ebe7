"""Sockets on which a whole request has one deadline, so that a client that drips octets can't keep a thread.

gunicorn's threaded worker reads requests from blocking sockets without a limit of time. It calls `setblocking(True)`
when it begins with a request; from then on all of it, TLS handshake and answer included, has REQUEST_SECONDS. A client
that takes longer is to gunicorn one that has gone away: ConnectionResetError.
"""

import errno
import socket
import ssl
import time
from typing import Any

REQUEST_SECONDS = 20.0


class _Deadline(socket.socket):
    seconds = REQUEST_SECONDS
    _ends_at: float | None = None

    def setblocking(self, flag: bool) -> None:
        self._ends_at = time.monotonic() + self.seconds
        if flag:
            self.settimeout(self.seconds)
        else:
            super().setblocking(False)

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        self._shorten()
        try:
            return super().recv(*args, **kwargs)
        except TimeoutError:
            raise _too_late() from None

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._shorten()
        try:
            super().sendall(*args, **kwargs)
        except TimeoutError:
            raise _too_late() from None

    def _shorten(self) -> None:
        """Leaves the next operation what is left of the request's time."""
        if self.gettimeout() == 0.0:
            return
        if self._ends_at is None:
            # A TLS socket begins its life in the middle of the first request.
            self._ends_at = time.monotonic() + self.seconds
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise _too_late()
        self.settimeout(left)


class DeadlineSocket(_Deadline):
    @classmethod
    def adopt(cls, accepted: socket.socket) -> "DeadlineSocket":
        """The same connection; `accepted` is no longer of use."""
        return cls(fileno=accepted.detach())


class DeadlineTlsSocket(_Deadline, ssl.SSLSocket):
    """What a context makes whose `sslsocket_class` is this."""


def _too_late() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the request took too long")
