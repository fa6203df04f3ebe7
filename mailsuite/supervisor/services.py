"""The contract between the supervisor and the services it runs.

A service is a function `run(context) -> int | None` that serves until it is told to end, and then returns within
seconds: what it accepted is finished, nothing new is begun. It is told by SIGTERM, or by the end of the pipe from the
parent when that has died. It is called in a process of its own that has no thread, event loop or database connection
yet; importing its module must start none either, since the parent imports it before it forks.
"""

import signal
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from mailsuite.configuration import Configuration
from mailsuite.server.pulse import Pulse


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a service is given. `sockets` are bound, listening and non-blocking, by listener name (`SMTP`, `IMAPS`, …);
    a listener that is off is missing there. `parent_pipe` is at end of file once the parent is gone; None when the
    service runs alone. `index` counts the workers of one service from 0, `workers` is how many there are. By `pulse` it
    says that it works: one that is silent for too long is killed and started again.
    """

    configuration: Configuration
    sockets: dict[str, list[socket.socket]]
    parent_pipe: int | None
    name: str
    index: int = 0
    workers: int = 1
    pulse: Pulse = field(default_factory=Pulse)


Run = Callable[[ServiceContext], int | None]


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of the registry. `path` is `module:function`; those with `per_worker` run MAILSUITE_WORKERS times.
    `grace_seconds` is how long it may take to end before it is killed, `silence_seconds` how long it may give no sign
    of life."""

    name: str
    path: str
    per_worker: bool = False
    grace_seconds: float = 10.0
    silence_seconds: float = 60.0

    def load(self) -> Run:
        """Returns the service's run function, its module imported."""
        module, _, function = self.path.partition(":")
        run: Run = getattr(import_module(module), function)
        return run


# In the order of starting. Stopping goes the other way round, so that the store outlives all who write through it.
SERVICES = (
    # It is silent while the database works on one transaction, which PostgreSQL ends after a minute.
    Service("store", "mailsuite.writer.daemon:run", grace_seconds=5.0, silence_seconds=90.0),
    Service("smtpd", "smtpd_service.service:run", per_worker=True),
    # Usually over at once; a host that got a whole message may take its time to say that it took it.
    Service("deliver", "smtpd_service.deliver:run", grace_seconds=45.0),
    Service("retrieval", "retrieval.service:run", per_worker=True),
    Service("web", "mailsuite.web.service:run"),
)


def join_suite(context: ServiceContext, loop: AbstractEventLoop, end: Callable[[], None]) -> None:
    """Calls `end` in the loop, once, when the service must end, and beats until then. For services on an event loop."""

    def end_once() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        # A second SIGTERM while the service finishes must not kill it midway.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if context.parent_pipe is not None:
            loop.remove_reader(context.parent_pipe)
        end()

    context.pulse.keep_beating(loop)
    loop.add_signal_handler(signal.SIGTERM, end_once)
    if context.parent_pipe is not None:
        loop.add_reader(context.parent_pipe, end_once)
