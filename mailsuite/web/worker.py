"""gunicorn's threaded worker with another front: threads see whole requests, and never wait for a client.

gunicorn gives a thread to each connection that has sent one octet, and has the poller itself wait for the client when
a connection ends. Here the poller works on all connections without waiting (mailsuite.web.connection), hands a request
that is whole to a free thread, and sends the answer when that is done. What a request means, and what is no proper
one, stays gunicorn's to say.
"""

import gc
import logging
import selectors
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connections
from gunicorn.config import Config
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import ThreadWorker

from mailsuite.mail.client_network import Network, client_ip, client_network
from mailsuite.server.accepting import PAUSE_SECONDS, accept_waiting, watch_peers
from mailsuite.server.admission import Admission, Denial, Reason
from mailsuite.server.entrance import Entrance
from mailsuite.server.memory import trim
from mailsuite.server.pulse import Pulse, WatchedPool
from mailsuite.web import answers
from mailsuite.web.connection import Budgets, HttpConnection, Phase
from mailsuite.web.exchange import Exchange
from mailsuite.web.waiting import WaitingLine

logger = logging.getLogger(__name__)

THREADS = 8
# So many requests of one client are worked on at a time: others find a thread too.
AT_ONCE_PER_CLIENT = 4
# Of what may hash a password, which takes long on purpose, so many: pages are there while a crowd guesses.
WRITES_AT_ONCE = 4
WRITES_PER_CLIENT = 2
TICK_SECONDS = 1.0
# How long a server that stops waits for a request that a kept connection may be sending already.
STOPPING_SECONDS = 1.0
# Threads keep connections to the database, with its caches, and what they have freed. Now and then, when no request is
# being worked on, they are exchanged for new ones, so that a day's busiest moment is not paid for until the next start.
REST_SECONDS = 60.0
FOR_EVER = float("inf")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves TLS on the connections of `tls_addresses`, and ends when the pipe from the parent does. `client_of` names
    the address that a request comes from, from that of its connection and the values of X-Forwarded-For."""

    tls_config: Config
    tls_context: ssl.SSLContext
    tls_addresses: frozenset[tuple[Any, ...]]
    parent_pipe: int | None
    pulse: Pulse
    admission: Admission[HttpConnection]
    budgets: Budgets
    client_of: Callable[[str, str], str]
    tpool: WatchedPool

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # By the number of its socket, which TLS makes another object of.
        self._watched: dict[HttpConnection, tuple[int, int]] = {}
        self._reads: WaitingLine[HttpConnection] = WaitingLine(AT_ONCE_PER_CLIENT)
        self._writes: WaitingLine[HttpConnection] = WaitingLine(WRITES_PER_CLIENT)
        # Where a request stands and whom it counts for, of those that wait and of those that have a thread.
        self._queued: dict[HttpConnection, tuple[WaitingLine[HttpConnection], Network | None]] = {}
        self._working: dict[HttpConnection, tuple[WaitingLine[HttpConnection], Network | None]] = {}
        self._write_is_next = False
        self._eager: set[HttpConnection] = set()
        self._accept_again_at = self._tick_at = 0.0
        self._accepting = False
        self._rest_at, self._has_rested = FOR_EVER, False

    # gunicorn's hooks

    def notify(self) -> None:
        self.pulse.beat()

    def get_thread_pool(self) -> WatchedPool:
        return WatchedPool(self.cfg.threads, "web")

    def init_signals(self) -> None:
        """Takes SIGTERM alone: what other signals do is the supervisor's to say."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.siginterrupt(signal.SIGTERM, False)

    def run(self) -> None:
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self._run_callbacks)
        if self.parent_pipe is not None:
            self.poller.register(self.parent_pipe, selectors.EVENT_READ, self._parent_gone)
        self._entrances = {is_tls: Entrance(self.admission, _words, begins_with_tls=is_tls) for is_tls in (False, True)}
        for listener in self.sockets:
            listener.setblocking(False)
            watch_peers(listener)
        self._open_doors(True)
        while self.alive:
            self._turn()
        self._open_doors(False)
        self._finish()

    def handle(self, conn: HttpConnection) -> bool:
        """In a thread: have the application answer. Returns whether the connection may be kept."""
        request = conn.request
        try:
            kept: bool = self._keepalive_after(conn, self.handle_request(request, conn))
        except (NoMoreData, StopIteration) as error:
            self.log.debug("closing a connection: %s", error)
            return False
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
            return False
        return kept

    def finish_request(self, conn: HttpConnection, fs: "Future[bool]") -> None:
        """In the poller: a thread is done."""
        line, client = self._working.pop(conn)
        line.done(client)
        keep = not fs.cancelled() and fs.exception() is None and fs.result()
        with self._guarded(conn):
            self._moved(conn, conn.finished(keep and self.alive, time.monotonic()))
        self._hand_out()

    # What a connection tells

    def refuse(self, exchange: Exchange, client: Any, error: Exception) -> None:
        self.handle_error(None, exchange, client, error)

    def answered(self, connection: HttpConnection) -> None:
        self.admission.progressed(connection)

    def withdrawn(self, connection: HttpConnection) -> None:
        line, client = self._queued.pop(connection)
        line.remove(connection, client)

    def closed(self, connection: HttpConnection) -> None:
        self._watch(connection, 0)
        self._eager.discard(connection)
        self.admission.leave(connection)

    # The poller

    def _turn(self) -> None:
        self.notify()
        for key, mask in self.poller.select(0 if self._eager else TICK_SECONDS):
            key.data(mask)
        eager, self._eager = self._eager, set()
        for connection in eager:
            self._advance(connection)
        now = time.monotonic()
        if now >= self._tick_at:
            self._tick_at = now + TICK_SECONDS
            self._look_at_the_clock(now)

    def _look_at_the_clock(self, now: float) -> None:
        if self._accept_again_at and now >= self._accept_again_at and self.alive:
            self._open_doors(True)
        for connection in list(self.admission):
            if connection.deadline <= now:
                with self._guarded(connection):
                    connection.time_out(now)
                    self._moved(connection, False)
        self._rest(now)

    def _rest(self, now: float) -> None:
        """Exchange the threads for new ones; by the next turn of the clock they are gone, and their memory is free."""
        if self._has_rested:
            self._has_rested = False
            gc.collect()
            trim()
        if now >= self._rest_at and not self._working and not self._queued:
            self._rest_at, self._has_rested = FOR_EVER, True
            worn, self.tpool = self.tpool, self.get_thread_pool()
            worn.dismiss(connections.close_all)

    def _run_callbacks(self, mask: int) -> None:
        self.method_queue.run_callbacks(None)

    def _parent_gone(self, mask: int) -> None:
        self.poller.unregister(self.parent_pipe)
        self.alive = False

    def _open_doors(self, opened: bool) -> None:
        self._accept_again_at = 0.0
        if opened == self._accepting:
            return
        self._accepting = opened
        for listener in self.sockets:
            if opened:
                self.poller.register(listener, selectors.EVENT_READ, partial(self._accept, listener))
            else:
                self.poller.unregister(listener)

    def _accept(self, listener: socket.socket, mask: int) -> None:
        server = listener.getsockname()
        is_tls = server in self.tls_addresses
        try:
            for accepted, address in accept_waiting(listener):
                if self._entrances[is_tls].lets_in(accepted, address):
                    self._enter(accepted, address, server, is_tls=is_tls)
        except OSError as error:
            logger.error("no connection can be accepted now: %s", error)
            self._open_doors(False)
            self._accept_again_at = time.monotonic() + PAUSE_SECONDS

    def _enter(self, accepted: socket.socket, address: str, server: Any, *, is_tls: bool) -> None:
        try:
            port = accepted.getpeername()[1]
        except OSError:
            accepted.close()
            return
        connection = HttpConnection(
            accepted,
            client=(address, port),
            server=server,
            config=self.tls_config if is_tls else self.cfg,
            tls=self.tls_context if is_tls else None,
            poller=self,
            budgets=self.budgets,
            now=time.monotonic(),
        )
        self._entrances[is_tls].enter(connection, address)
        self._advance(connection)

    def _advance(self, connection: HttpConnection, mask: int = 0) -> None:
        with self._guarded(connection):
            self._moved(connection, connection.advance(time.monotonic()))

    @contextmanager
    def _guarded(self, connection: HttpConnection) -> Iterator[None]:
        """What goes wrong with one connection ends that one, and not the service."""
        try:
            yield
        except Exception:
            logger.exception("a connection from %s ended by an error", connection.address)
            connection.abort()

    def _moved(self, connection: HttpConnection, has_more: bool) -> None:
        """See what the connection waits for now."""
        if has_more:
            self._eager.add(connection)
        if connection.phase is Phase.READY and connection not in self._queued:
            connection.deadline = FOR_EVER
            line, client = self._line(connection), self._client_network(connection)
            self._queued[connection] = line, client
            line.add(connection, client)
            self._hand_out()
        if connection.phase is not Phase.CLOSED:
            self._watch(connection, connection.wanted)

    def _watch(self, connection: HttpConnection, wanted: int) -> None:
        number, before = self._watched.get(connection, (-1, 0))
        if wanted == before:
            return
        if not wanted:
            self.poller.unregister(number)
            del self._watched[connection]
            return
        if not before:
            number = connection.fileno()
            self.poller.register(number, wanted, partial(self._advance, connection))
        else:
            self.poller.modify(number, wanted, partial(self._advance, connection))
        self._watched[connection] = (number, wanted)

    # Handing requests to threads

    def _hand_out(self) -> None:
        """Give waiting requests to free threads."""
        while len(self._working) < THREADS and (connection := self._next()):
            self._working[connection] = self._queued.pop(connection)
            connection.phase = Phase.WORKING
            self._rest_at = min(self._rest_at, time.monotonic() + REST_SECONDS)
            self.enqueue_req(connection)

    def _next(self) -> HttpConnection | None:
        """The request that is next: by turns one that reads and one that may write, if there are both."""
        writing = sum(line is self._writes for line, _ in self._working.values())
        self._write_is_next = not self._write_is_next
        lines = (self._writes, self._reads) if self._write_is_next else (self._reads, self._writes)
        for line in lines:
            if (line is self._reads or writing < WRITES_AT_ONCE) and (following := line.next()):
                return following[0]
        return None

    def _line(self, connection: HttpConnection) -> WaitingLine[HttpConnection]:
        is_read = connection.request is not None and connection.request.method in ("GET", "HEAD")
        return self._reads if is_read else self._writes

    def _client_network(self, connection: HttpConnection) -> Network | None:
        """Whom the request counts for; None for programs of this host."""
        headers = connection.request.headers if connection.request is not None else ()
        forwarded = ",".join(value for name, value in headers if name == "X-FORWARDED-FOR")
        address = self.client_of(connection.address, forwarded)
        ip = client_ip(address)
        return None if ip is None or ip.is_loopback else client_network(address)

    def _finish(self) -> None:
        """Answer what has come, for the time that gunicorn's `graceful_timeout` says; then close everything."""
        now = time.monotonic()
        ends_at = now + self.cfg.graceful_timeout
        for connection in self.admission:
            connection.hurry(now + STOPPING_SECONDS)
        while len(self.admission) and time.monotonic() < ends_at:
            self._turn()
        for connection in list(self.admission):
            connection.close()
        self.tpool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()
        for listener in self.sockets:
            listener.close()


def _words(denial: Denial) -> bytes:
    return answers.BANNED if denial.reason is Reason.BANNED else answers.CROWDED
