"""The web service: gunicorn's threaded worker in this process, on the inherited sockets, HTTP and HTTPS side by side.

gunicorn's own arbiter would fork a second process to watch the first; the supervisor does that already.
"""

import selectors
import signal
import socket
from collections.abc import Callable
from typing import Any

from django.core.wsgi import get_wsgi_application
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from mailsuite.abuse.gate import GATE
from mailsuite.supervisor.services import ServiceContext
from mailsuite.tls import server_context
from mailsuite.web.deadline import DeadlineSocket, DeadlineTlsSocket

THREADS = 8
# Both bound what strangers can take: connections held open, and seconds of a request that does not come.
CONNECTIONS = 200
KEEPALIVE_SECONDS = 5
# Less than what the supervisor waits before it kills.
FINISH_SECONDS = 6


class TlsConfig(Config):  # type: ignore[misc]
    """The configuration of connections that came to an HTTPS listener."""

    @property
    def is_ssl(self) -> bool:
        return True


class Application(BaseApplication):  # type: ignore[misc]
    """Django's WSGI application, with settings of ours instead of a command line's."""

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__()

    def load_default_config(self) -> None:
        self.cfg = self._config

    def load_config(self) -> None:
        for name, value in _SETTINGS.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        return get_wsgi_application()


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves TLS on the connections of HTTPS listeners, and ends when the pipe from the parent does."""

    tls_config: Config
    tls_addresses: frozenset[tuple[Any, ...]]
    parent_pipe: int | None

    def enqueue_req(self, conn: TConn) -> None:
        if not conn.initialized and type(conn.sock) is socket.socket:
            conn.sock = DeadlineSocket.adopt(conn.sock)
            if conn.server in self.tls_addresses:
                conn.cfg = self.tls_config
        super().enqueue_req(conn)

    def run(self) -> None:
        if self.parent_pipe is not None:
            self.poller.register(self.parent_pipe, selectors.EVENT_READ, self._parent_gone)
        super().run()

    def init_signals(self) -> None:
        """Takes SIGTERM alone: what other signals do is the supervisor's to say."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.siginterrupt(signal.SIGTERM, False)

    def is_parent_alive(self) -> bool:
        """Leaves it to the pipe: a service that runs alone may have any parent."""
        return True

    def _parent_gone(self, pipe: int) -> None:
        self.poller.unregister(pipe)
        self.alive = False


class Log(Logger):  # type: ignore[misc]
    """Hands gunicorn's records on to the supervisor's log instead of writing them itself."""

    def setup(self, cfg: Config) -> None:
        self.error_log.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())


_SETTINGS = {
    "threads": THREADS,
    "worker_connections": CONNECTIONS,
    "keepalive": KEEPALIVE_SECONDS,
    "graceful_timeout": FINISH_SECONDS,
    "loglevel": "warning",
    # A proxy's header is not the server's to believe: the application knows MAILSUITE_TRUSTED_PROXIES.
    "forwarded_allow_ips": "",
}


def run(context: ServiceContext) -> None:
    """Serves pages until told to end; requests that have begun are finished."""
    plain = Application(Config())
    tls = Application(TlsConfig())
    certificate = server_context(context.configuration.certificate, context.configuration.certificate_key)
    certificate.sslsocket_class = DeadlineTlsSocket
    tls.cfg.set("ssl_context", lambda config, default: certificate)
    sockets = [one for some in context.sockets.values() for one in some]
    worker = Worker(0, 0, sockets, plain, 0, plain.cfg, Log(plain.cfg))
    worker.tls_config = tls.cfg
    worker.tls_addresses = frozenset(one.getsockname() for one in context.sockets.get("HTTPS", []))
    worker.parent_pipe = context.parent_pipe
    GATE.start()
    worker.init_process()
