"""The parent of all services: forks them, restarts what dies, stops them in order.

It holds the listening sockets and one end of a pipe, and nothing else: no database connection, thread, event loop or
resolver, so that a fork of it is always clean. Its signals are blocked and taken by `sigtimedwait`, where it waits.
"""

import gc
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mailsuite.configuration import SERVICES_BY_LISTENER, Configuration
from mailsuite.supervisor import child
from mailsuite.supervisor.listeners import Sockets, addresses
from mailsuite.supervisor.services import Run, Service, ServiceContext
from mailsuite.supervisor.state import SuiteState, forget_state, write_state

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A service that ran this long is taken for healthy: its next pause is the first again.
HEALTHY_AFTER = 60.0
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Slot:
    """One process to keep alive: a service, or one of its workers. Times are of the monotonic clock."""

    service: Service
    run: Run
    index: int
    workers: int
    pid: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = field(default_factory=lambda: FIRST_PAUSE)
    restarts: int = 0

    def __str__(self) -> str:
        return self.service.name if self.workers == 1 else f"{self.service.name}/{self.index}"


class Parent:
    """Runs the services until SIGTERM or SIGINT; `run` returns when the last of them has ended."""

    def __init__(self, configuration: Configuration, sockets: Sockets, runs: Iterable[tuple[Service, Run]]) -> None:
        self._configuration = configuration
        self._sockets = sockets
        self._slots = [
            Slot(service, run, index, workers)
            for service, run in runs
            for workers in [configuration.workers if service.per_worker else 1]
            for index in range(workers)
        ]
        self._pid = os.getpid()
        self._child_end, self._parent_end = os.pipe()

    def start(self) -> None:
        """Forks every service for the first time."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # What is frozen is never looked at by a collection, so its pages stay shared with all children.
        gc.disable()
        gc.collect()
        gc.freeze()
        for slot in self._slots:
            self._fork(slot)
        self._write_state()

    def run(self) -> None:
        """Waits, restarting what ends, until told to stop; then stops everything."""
        while True:
            match self._wait():
                case signal.SIGTERM | signal.SIGINT:
                    break
                case signal.SIGHUP:
                    logger.info("Nothing to reread: changed certificates are read at the next handshake")
            self._reap()
            self._start_due()
        self.stop()

    def stop(self) -> None:
        """Ends the services, those that talk to the world first and the store last, so that they can finish."""
        logger.info("Stopping")
        fronts = [slot for slot in self._slots if slot.service.name != "store"]
        self._end(fronts)
        self._end([slot for slot in self._slots if slot.service.name == "store"])
        forget_state(self._configuration.data)
        logger.info("Stopped")

    def _wait(self) -> int:
        """The number of the next signal, or 0 when it is time to start something again."""
        dues = [slot.start_at for slot in self._slots if not slot.pid]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else 3600.0
        taken = signal.sigtimedwait(SIGNALS, timeout)
        return taken.si_signo if taken else 0

    def _fork(self, slot: Slot) -> None:
        name = slot.service.name
        own = {key: some for key, some in self._sockets.items() if SERVICES_BY_LISTENER[key] == name}
        others = {key: some for key, some in self._sockets.items() if key not in own}
        context = ServiceContext(self._configuration, own, self._child_end, name, slot.index, slot.workers)
        slot.started_at = time.monotonic()
        slot.pid = child.fork(lambda: child.run_service(slot.run, context, others, self._parent_end), self._pid)

    def _reap(self) -> None:
        """Takes note of every child that has ended and sets when it starts again."""
        by_pid = {slot.pid: slot for slot in self._slots if slot.pid}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if slot := by_pid.get(pid):
                self._note_end(slot, status)

    def _note_end(self, slot: Slot, status: int) -> None:
        now = time.monotonic()
        if now - slot.started_at >= HEALTHY_AFTER:
            slot.pause = FIRST_PAUSE
        slot.pid, slot.start_at = 0, now + slot.pause
        logger.error("%s ended %s; it starts again in %g s", slot, _explain(status), slot.pause)
        slot.pause = min(slot.pause * 2, LONGEST_PAUSE)

    def _start_due(self) -> None:
        due = [slot for slot in self._slots if not slot.pid and slot.start_at <= time.monotonic()]
        for slot in due:
            self._fork(slot)
            slot.restarts += 1
            logger.info("%s started again as process %d", slot, slot.pid)
        if due:
            self._write_state()

    def _end(self, slots: list[Slot]) -> None:
        """Asks the processes to end, waits for them, and kills each that has not ended when its grace is over."""
        _kill(slots, signal.SIGTERM)
        began, impatient = time.monotonic(), False
        while self._collect(slots):
            passed = time.monotonic() - began
            _kill_now([slot for slot in slots if slot.pid and (impatient or slot.service.grace_seconds <= passed)])
            left = [slot.service.grace_seconds - passed for slot in slots if slot.pid]
            if left:
                taken = signal.sigtimedwait(SIGNALS, max(0.0, min(left)))
                # A second Ctrl-C means now.
                impatient = taken is not None and taken.si_signo == signal.SIGINT

    def _collect(self, slots: list[Slot]) -> bool:
        """Takes note of those that have ended; returns whether any still runs."""
        for slot in slots:
            if slot.pid and os.waitpid(slot.pid, os.WNOHANG)[0]:
                slot.pid = 0
        return any(slot.pid for slot in slots)

    def _write_state(self) -> None:
        services: dict[str, list[int]] = {}
        restarts = Counter[str]()
        for slot in self._slots:
            services.setdefault(slot.service.name, []).append(slot.pid)
            restarts[slot.service.name] += slot.restarts
        state = SuiteState(self._pid, addresses(self._sockets), services, dict(restarts))
        write_state(self._configuration.data, state)


def _kill(slots: list[Slot], number: signal.Signals) -> None:
    for slot in slots:
        if slot.pid:
            os.kill(slot.pid, number)


def _kill_now(slots: list[Slot]) -> None:
    for slot in slots:
        logger.error("%s did not end in time and is killed", slot)
    _kill(slots, signal.SIGKILL)
    for slot in slots:
        os.waitpid(slot.pid, 0)
        slot.pid = 0


def _explain(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"by signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"with status {os.waitstatus_to_exitcode(status)}"
