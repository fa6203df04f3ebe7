"""The way in through a listening socket: each client is counted, and let in or turned away, before anything is done
for it. That is before TLS, too: a handshake costs.

`Entrance` decides for one listener, whatever waits at its socket; `Door` is the accept loop of the services that run on
asyncio.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from mailsuite.server.accepting import PAUSE_SECONDS, accept_waiting, say_and_close, watch_peers
from mailsuite.server.admission import Admission, Admitted, Denial, Reason
from mailsuite.server.turned_away import TurnedAway

logger = logging.getLogger(__name__)

C = TypeVar("C", bound=Admitted)


class Entrance(Generic[C]):
    """`words` are said to a client that is turned away; to none where a connection `begins_with_tls`, since nothing can
    be said before the handshake, and that is what there is no room for.

    In an event loop a crowd is told of by its number: `tell(address, denial)` for the first few of a network and reason
    within a minute, `tell_rest(address, denial, count)` for the others once it is over. A ban counts by itself, and is
    not told.
    """

    def __init__(
        self,
        admission: Admission[C],
        words: Callable[[Denial], bytes],
        *,
        begins_with_tls: bool = False,
        tell: Callable[[str, Denial], object] | None = None,
        tell_rest: Callable[[str, Denial, int], None] = lambda address, denial, count: None,
    ) -> None:
        self._admission, self._words, self._begins_with_tls = admission, words, begins_with_tls
        self._tell, self._turned_away = tell, TurnedAway[Denial](tell_rest)

    def lets_in(self, sock: socket.socket, address: str) -> bool:
        """Return whether the client may come in, and be handed to `enter`; closes the socket of one that may not."""
        denial = self._admission.deny(address)
        if denial is None:
            return True
        if self._tell and denial.reason is not Reason.BANNED and self._turned_away.note(address, denial):
            self._tell(address, denial)
        say_and_close(sock, b"" if self._begins_with_tls else self._words(denial))
        return False

    def enter(self, connection: C, address: str) -> None:
        """Count the connection of a client that was let in."""
        self._admission.enter(connection, address)


class Door(Generic[C]):
    """A listening socket on the running event loop. Whom the entrance lets in is handed to `begin(socket, address)`,
    which returns its connection and waits for nothing, until the door is closed."""

    def __init__(
        self, listening: socket.socket, entrance: Entrance[C], begin: Callable[[socket.socket, str], C]
    ) -> None:
        self._listening, self._entrance, self._begin = listening, entrance, begin
        self._loop = asyncio.get_running_loop()
        listening.setblocking(False)
        watch_peers(listening)
        self._open()

    def close(self) -> None:
        """Accept no more."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    def _open(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        try:
            for sock, address in accept_waiting(self._listening):
                if self._entrance.lets_in(sock, address):
                    self._entrance.enter(self._begin(sock, address), address)
        except OSError as error:
            logger.error("no connection can be accepted now: %s", error)
            self._loop.remove_reader(self._listening)
            self._loop.call_later(PAUSE_SECONDS, self._open)
