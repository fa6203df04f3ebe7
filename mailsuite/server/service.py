"""What a service process is given by whoever started it, and how it learns that it must end.

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
from typing import TYPE_CHECKING

from mailsuite.server.pulse import Pulse

if TYPE_CHECKING:
    from mailsuite.configuration import Configuration


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a service is given. `sockets` are bound, listening and non-blocking, by listener name (`SMTP`, `IMAPS`, …);
    a listener that is off is missing there. `parent_pipe` is at end of file once the parent is gone; None when the
    service runs alone. `index` counts the workers of one service from 0, `workers` is how many there are. By `pulse` it
    says that it works: one that is silent for too long is killed and started again.
    """

    configuration: "Configuration"
    sockets: dict[str, list[socket.socket]]
    parent_pipe: int | None
    name: str
    index: int = 0
    workers: int = 1
    pulse: Pulse = field(default_factory=Pulse)


Run = Callable[[ServiceContext], int | None]


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
