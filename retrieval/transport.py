"""All connections of a process: who may connect, whose end counts against them, and the end of all."""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from mailsuite.ids import new_id, reference
from retrieval.conversation import Connection, Session, converse
from retrieval.mail_store import StoreUnavailable
from retrieval.stream import ConnectionEnded, NoTls, Stream, StreamLimits

logger = logging.getLogger(__name__)

VALIDITY_SECONDS = 2.0
ACCEPTED_AT_ONCE = 50
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Kind:
    """What a listener offers. `make_session(tls_active, client_address, connection_id)`; `refusal` is said, in clear
    text only, to a client that is one too many, `banned` to one that is kept out."""

    name: str
    make_session: Callable[[bool, str, str], Session]
    refusal: bytes
    implicit_tls: bool
    banned: bytes = b""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Counts are of this process; loopback is spared. `login_seconds`: what a client has to log in, however busy it is.
    `end_seconds`: what a session has to come to its end."""

    connections: int = 2000
    connections_per_address: int = 100
    login_seconds: float = 300.0
    end_seconds: float = 5.0
    stream: StreamLimits = field(default_factory=StreamLimits)


class Server:
    """All connections of a process."""

    def __init__(
        self,
        limits: ServerLimits,
        context: ssl.SSLContext,
        is_banned: Callable[[str], object] = lambda client_address: False,
        note_offence: Callable[[str, str], object] = lambda client_address, offence: None,
    ) -> None:
        self._limits, self._context = limits, context
        self._is_banned, self._note_offence = is_banned, note_offence
        self._listeners: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._by_network: Counter[str] = Counter()

    def listen(self, sock: socket.socket, kind: Kind) -> None:
        """Accepts clients of this kind from now on, on a listening socket that doesn't block."""
        self._listeners.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock, kind)

    async def end_invalid(self) -> None:
        """Ends the sessions of mailboxes that may not be read any more, again and again until cancelled."""
        while True:
            await asyncio.sleep(VALIDITY_SECONDS)
            for connection in list(self._connections):
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
        loop = asyncio.get_running_loop()
        listeners, self._listeners = self._listeners, []
        for sock in listeners:
            loop.remove_reader(sock)
            sock.close()
        for connection in list(self._connections):
            self._end(connection, "The server is shutting down")
        tasks = [connection.task for connection in self._connections if connection.task]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.end_seconds + 1)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)

    def _end(self, connection: Connection, text: str) -> None:
        connection.end(text)
        connection.stream.abort_after(self._limits.end_seconds)
        if connection.session is None and connection.task is not None:
            connection.task.cancel()

    def _accept(self, sock: socket.socket, kind: Kind) -> None:
        """Takes what waits. Clients are counted here, before TLS: a handshake costs."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                logger.warning("%s: no connection can be accepted now: %s", kind.name, error)
                # The listener stays readable: without a pause this would be asked again at once.
                loop.remove_reader(sock)
                loop.call_later(PAUSE_SECONDS, self._resume, sock, kind)
                return
            accepted.setblocking(False)
            self._accepted(accepted, address[0], kind)

    def _resume(self, sock: socket.socket, kind: Kind) -> None:
        if sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock, kind)

    def _accepted(self, sock: socket.socket, client_address: str, kind: Kind) -> None:
        if self._is_banned(client_address):
            _refuse(sock, b"" if kind.implicit_tls else kind.banned)
            return
        network = _network(client_address)
        if network and self._is_full(network):
            logger.warning("%s refused for %s: too many connections", kind.name, client_address)
            _refuse(sock, b"" if kind.implicit_tls else kind.refusal)
            return
        loop, limits = asyncio.get_running_loop(), self._limits
        stream, login_by = Stream(limits.stream), loop.time() + limits.login_seconds
        connection = Connection(reference(new_id()), client_address, network, stream, login_by)
        self._connections.add(connection)
        self._by_network[network] += 1
        connection.task = loop.create_task(self._serve(connection, sock, kind))

    def _is_full(self, network: str) -> bool:
        limits = self._limits
        return (
            len(self._connections) >= limits.connections or self._by_network[network] >= limits.connections_per_address
        )

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
            self._forget(connection)
            self._judge(connection, kind)
            await self._abandon(connection)
            stream.close()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._by_network[connection.network] -= 1
        if not self._by_network[connection.network]:
            del self._by_network[connection.network]

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


def _refuse(sock: socket.socket, text: bytes) -> None:
    """Says so, if the socket takes it at once, and closes."""
    with sock:
        try:
            sock.send(text)
        except OSError:
            pass


def _network(address: str) -> str:
    """Whose connections are counted together: an IPv4 address, an IPv6 /64; "" for loopback, which is not counted."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return ""
    return str(ip) if ip.version == 4 else str(ip_network((ip, 64), strict=False))
