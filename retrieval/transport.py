"""All connections of a process: who may connect, whose end counts against them, and the end of all."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from mailsuite.ids import new_id, reference
from mailsuite.protocol.words import unavailable
from mailsuite.server.admission import Admission, Denial, Reason
from mailsuite.server.entrance import Door, Entrance
from mailsuite.server.octets import OctetBudget
from retrieval.conversation import Connection, Session, converse
from retrieval.mail_values import StoreUnavailable
from retrieval.stream import ConnectionEnded, NoTls, Stream, StreamLimits

logger = logging.getLogger(__name__)

VALIDITY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What a listener offers. `make_session(tls_active, client_address, connection_id)`; `refusal` is said, in clear
    text only, to a client that is one too many, `banned` to one that is kept out."""

    name: str
    make_session: Callable[[bool, str, str], Session]
    refusal: bytes
    implicit_tls: bool
    banned: bytes = b""

    def words(self, denial: Denial) -> bytes:
        """What a client is told that is turned away."""
        return self.banned if denial.reason is Reason.BANNED else self.refusal

    def tell_turned_away(self, client_address: str, denial: Denial) -> None:
        """Log one client that was turned away."""
        logger.warning("%s refused for %s: too many connections", self.name, client_address)

    def tell_rest(self, client_address: str, denial: Denial, count: int) -> None:
        """Log how many more of its network were."""
        told = "%s refused %d times more for %s and its like: too many connections"
        logger.warning(told, self.name, count, client_address)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """`login_seconds`: what a client has to log in, however busy it is. `end_seconds`: what a session may take to come
    to its end."""

    login_seconds: float = 300.0
    end_seconds: float = 5.0
    stream: StreamLimits = field(default_factory=StreamLimits)


class Server:
    """All connections of a process."""

    def __init__(
        self,
        limits: ServerLimits,
        context: ssl.SSLContext,
        admission: Admission[Connection],
        note_offence: Callable[[str, str], object] = lambda client_address, offence: None,
        budget: OctetBudget | None = None,
    ) -> None:
        self._budget = budget or OctetBudget()
        self._limits, self._context = limits, context
        self._admission, self._note_offence = admission, note_offence
        self._doors: list[Door[Connection]] = []

    def listen(self, sock: socket.socket, kind: Kind) -> None:
        """Accepts clients of this kind from now on, on a listening socket."""
        entrance = Entrance(
            self._admission,
            kind.words,
            begins_with_tls=kind.implicit_tls,
            tell=kind.tell_turned_away,
            tell_rest=kind.tell_rest,
        )
        self._doors.append(Door(sock, entrance, partial(self._begin, kind)))

    async def end_invalid(self) -> None:
        """Ends the sessions of mailboxes that may not be read any more, again and again until cancelled."""
        while True:
            await asyncio.sleep(VALIDITY_SECONDS)
            for connection in self._admission:
                store = connection.session.mail_store if connection.session else None
                try:
                    if store is not None and not connection.ending and not await store.still_valid():
                        self._end(connection, "This login is not valid any more")
                except StoreUnavailable:
                    break
                except Exception:
                    logger.exception("%s: the login could not be looked after", connection.id)

    async def close(self) -> None:
        """Accepts nobody any more and ends all sessions: each finishes the command it is at."""
        doors, self._doors = self._doors, []
        for door in doors:
            door.close()
        connections = list(self._admission)
        for connection in connections:
            self._end(connection, unavailable("the server is shutting down"))
        tasks = [connection.task for connection in connections if connection.task]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.end_seconds + 1)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)

    def _end(self, connection: Connection, text: str) -> None:
        connection.end(text, self._limits.end_seconds)

    def _begin(self, kind: Kind, sock: socket.socket, client_address: str) -> Connection:
        loop, limits = asyncio.get_running_loop(), self._limits
        stream, login_by = Stream(limits.stream, self._budget), loop.time() + limits.login_seconds
        connection = Connection(reference(new_id()), client_address, stream, login_by, self._admission)
        connection.task = loop.create_task(self._serve(connection, sock, kind))
        connection.task.add_done_callback(lambda _: self._admission.leave(connection))
        return connection

    async def _serve(self, connection: Connection, sock: socket.socket, kind: Kind) -> None:
        stream = connection.stream
        logger.debug("%s: %s from %s", connection.id, kind.name, connection.client_address)
        try:
            await stream.open(sock, self._context if kind.implicit_tls else None)
            session = kind.make_session(kind.implicit_tls, connection.client_address, connection.id)
            connection.session = session
            await stream.send(session.greeting())
            await converse(connection, session, self._context)
        except ConnectionEnded as ended:
            logger.debug("%s: %s", connection.id, ended)
            if isinstance(ended, NoTls):
                connection.offence = "tls-handshake"
        except Exception:
            # What was sent may be half an answer: only an end without a word is honest.
            logger.exception("%s: %s session ended by an error", connection.id, kind.name)
            stream.abort()
        finally:
            self._admission.leave(connection)
            self._judge(connection, kind)
            await self._abandon(connection)
            stream.close()

    def _judge(self, connection: Connection, kind: Kind) -> None:
        """Has it counted against the client how it ended."""
        if connection.session is not None and connection.session.broke_rules:
            connection.offence = "too-many-errors"
        if connection.offence:
            logger.info("%s: %s from %s: %s", connection.id, kind.name, connection.client_address, connection.offence)
            self._note_offence(connection.client_address, connection.offence)

    async def _abandon(self, connection: Connection) -> None:
        try:
            if connection.session is not None:
                await connection.session.abandon()
        except Exception:
            logger.exception("%s: left something behind", connection.id)
