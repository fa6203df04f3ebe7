"""The web service: gunicorn's threaded worker in this process, on the inherited sockets, HTTP and HTTPS side by side.

gunicorn's own arbiter would fork a second process to watch the first; the supervisor does that already.
"""

from collections.abc import Callable
from typing import Any

from django.core.wsgi import get_wsgi_application
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger

from mailsuite.access.ban_list import BAN_LIST
from mailsuite.mail.networks import is_named
from mailsuite.server.accepting import raise_descriptor_limit
from mailsuite.server.admission import Admission, AdmissionLimits
from mailsuite.server.octets import OctetBudget
from mailsuite.server.service import ServiceContext
from mailsuite.tls import server_context
from mailsuite.web.client import original_address
from mailsuite.web.connection import KEEPALIVE_SECONDS, Budgets
from mailsuite.web.worker import THREADS, Worker

# A browser opens half a dozen connections, and firms stand behind one address.
LIMITS = AdmissionLimits(total=512, per_client=64)
# Bodies that are on their way or waiting, on disk.
BODIES_OCTETS = 256 * 1024 * 1024
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


class Log(Logger):  # type: ignore[misc]
    """Hands gunicorn's records on to the supervisor's log instead of writing them itself."""

    def setup(self, cfg: Config) -> None:
        self.error_log.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())


_SETTINGS = {
    "threads": THREADS,
    "worker_connections": LIMITS.total,
    "keepalive": int(KEEPALIVE_SECONDS),
    "graceful_timeout": FINISH_SECONDS,
    "loglevel": "error",
    # From a file straight to the client would be a thread's work.
    "sendfile": False,
    # A proxy's header is not the server's to believe: the application knows MAILSUITE_TRUSTED_PROXIES.
    "forwarded_allow_ips": "",
}


def run(context: ServiceContext) -> None:
    """Serves pages until told to end; requests that have begun are finished."""
    plain = Application(Config())
    tls = Application(TlsConfig())
    certificate = server_context(context.configuration.certificate, context.configuration.certificate_key)
    sockets = [one for some in context.sockets.values() for one in some]
    worker = Worker(0, 0, sockets, plain, 0, plain.cfg, Log(plain.cfg))
    worker.tls_config, worker.tls_context = tls.cfg, certificate
    worker.tls_addresses = frozenset(one.getsockname() for one in context.sockets.get("HTTPS", []))
    worker.parent_pipe, worker.pulse = context.parent_pipe, context.pulse
    trusted = context.configuration.trusted_proxies
    memory = OctetBudget()
    worker.budgets = Budgets(memory, bodies=OctetBudget(BODIES_OCTETS))
    worker.client_of = lambda address, forwarded_for: original_address(address, forwarded_for, trusted)
    worker.admission = Admission(
        LIMITS.within(raise_descriptor_limit()),
        banned=BAN_LIST.check,
        spared=lambda address: is_named(address, trusted),
        budget=memory,
    )
    BAN_LIST.start()
    worker.init_process()
