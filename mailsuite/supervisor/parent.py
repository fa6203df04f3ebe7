"""The parent of all services: forks them, restarts what dies or stands still, stops them in order.

It holds the listening sockets and ends of pipes, and nothing else: no database connection, thread, event loop or
resolver, so that a fork of it is always clean. Its signals are blocked and taken by `sigtimedwait`, where it waits.
Every LOOK_SECONDS it hears what its services said of themselves (mailsuite.server.pulse).
"""

import gc
import logging
import os
import signal
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mailsuite.configuration import SERVICES_BY_LISTENER, Configuration
from mailsuite.server.pulse import Pulse
from mailsuite.server.service import Run, ServiceContext
from mailsuite.server.suite_state import SuiteState, forget_state, write_state
from mailsuite.supervisor import child, systemd
from mailsuite.supervisor.listeners import Sockets, addresses
from mailsuite.supervisor.services import Service

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A service that ran this long is taken for healthy: its next pause is the first again.
HEALTHY_AFTER = 60.0
LOOK_SECONDS = 5.0
# A service that is silent for so long is told of as standing still, before its silence has lasted for too long.
LATE_SECONDS = 20.0
# What a service that stands still has to write down where it does.
STACKS_SECONDS = 3.0
# Far more than some dozen threads write.
STACKS_OCTETS = 1 << 20
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
    pulse: int = -1
    heard_at: float = 0.0
    stands_still: str = ""
    kill_at: float = 0.0
    # A file in memory, which the process writes its stacks to.
    stacks: int = -1

    def trouble(self, now: float) -> str:
        """What keeps it from working, in words; "" for nothing."""
        if not self.pid:
            return "is not running, and starts again soon"
        if self.stands_still:
            return f"stands still: its {self.stands_still} threads"
        silent = now - self.heard_at
        return "stands still" if silent > min(LATE_SECONDS, self.service.silence_seconds) else ""

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
        self._looked_at = time.monotonic()
        self._written: SuiteState | None = None
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
        systemd.notify(os.environ, "READY=1", "STATUS=All services run")

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
            self._look_after(time.monotonic())
        self.stop()

    def stop(self) -> None:
        """Ends the services, those that talk to the world first and the store last, so that they can finish."""
        logger.info("Stopping")
        systemd.notify(os.environ, "STOPPING=1", "STATUS=Stopping")
        fronts = [slot for slot in self._slots if slot.service.name != "store"]
        self._end(fronts)
        self._end([slot for slot in self._slots if slot.service.name == "store"])
        forget_state(self._configuration.data)
        logger.info("Stopped")

    def _wait(self) -> int:
        """The number of the next signal, or 0 when it is time to look."""
        dues = [slot.kill_at or self._looked_at + LOOK_SECONDS if slot.pid else slot.start_at for slot in self._slots]
        taken = signal.sigtimedwait(SIGNALS, max(0.0, min(dues) - time.monotonic()))
        return taken.si_signo if taken else 0

    def _fork(self, slot: Slot) -> None:
        name = slot.service.name
        own = {key: some for key, some in self._sockets.items() if SERVICES_BY_LISTENER[key] == name}
        others = {key: some for key, some in self._sockets.items() if key not in own}
        _close(slot)
        slot.pulse, said = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        slot.stacks = stacks = os.memfd_create("stacks")
        context = ServiceContext(
            *(self._configuration, own, self._child_end, name, slot.index, slot.workers), Pulse(said)
        )
        slot.started_at = slot.heard_at = time.monotonic()
        slot.stands_still, slot.kill_at = "", 0.0
        slot.pid = child.fork(lambda: child.run_service(slot.run, context, others, self._parent_end, stacks), self._pid)
        os.close(said)

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
        slot.pid, slot.start_at, slot.kill_at = 0, now + slot.pause, 0.0
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

    def _look_after(self, now: float) -> None:
        """Hears the services, and ends those that stand still; what ends is started again."""
        if now - self._looked_at > 2 * LOOK_SECONDS + LATE_SECONDS:
            # This process was stopped, or the whole machine: nobody's silence says anything.
            for slot in self._slots:
                slot.heard_at = now
        self._looked_at = now
        for slot in self._slots:
            if slot.pid:
                _hear(slot, now)
                _end_if_silent(slot, now)
        if self._written is None or self._written.troubles != self._troubles(now):
            self._write_state()
        systemd.notify(os.environ, "WATCHDOG=1")

    def _troubles(self, now: float) -> dict[str, str]:
        return {str(slot): trouble for slot in self._slots if (trouble := slot.trouble(now))}

    def _end(self, slots: list[Slot]) -> None:
        """Asks the processes to end, waits for them, and kills each that has not ended when its grace is over."""
        _kill(slots, signal.SIGTERM)
        began, impatient = time.monotonic(), False
        while self._collect(slots):
            passed = time.monotonic() - began
            _kill_now([slot for slot in slots if slot.pid and (impatient or slot.service.grace_seconds <= passed)])
            left = [slot.service.grace_seconds - passed for slot in slots if slot.pid]
            if left:
                systemd.notify(os.environ, "WATCHDOG=1")
                taken = signal.sigtimedwait(SIGNALS, max(0.0, min(*left, LOOK_SECONDS)))
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
        troubles = self._troubles(time.monotonic())
        self._written = SuiteState(self._pid, addresses(self._sockets), services, dict(restarts), troubles)
        write_state(self._configuration.data, self._written)


def _hear(slot: Slot, now: float) -> None:
    """Takes note of what the service has said since it was heard last."""
    try:
        said = os.read(slot.pulse, 1 << 16)
    except BlockingIOError:
        return
    if said:
        last = said.rstrip(b"\n").rpartition(b"\n")[2] if not said.endswith(b"\n\n") else b""
        slot.heard_at, slot.stands_still = now, last.decode("ascii", "replace")


def _end_if_silent(slot: Slot, now: float) -> None:
    """First has it write down what it is doing; what is stopped can't, and is killed all the same."""
    if slot.kill_at:
        if now >= slot.kill_at:
            _tell_stacks(slot)
            os.kill(slot.pid, signal.SIGKILL)
            slot.kill_at = now + LOOK_SECONDS
    elif slot.stands_still or now - slot.heard_at > slot.service.silence_seconds:
        logger.critical(
            "%s %s. It has %g s to write down what it is doing; then it is killed and started again",
            slot,
            slot.trouble(now),
            STACKS_SECONDS,
        )
        os.kill(slot.pid, child.STACKS_SIGNAL)
        slot.kill_at = now + STACKS_SECONDS


def _tell_stacks(slot: Slot) -> None:
    """In one write: were the processes to write to the log themselves, two that stand still at a time, as when their
    disk hangs, would write into each other's lines."""
    stacks = os.pread(slot.stacks, STACKS_OCTETS, 0).decode("utf-8", "replace")
    if not stacks:
        logger.critical("%s is killed. It could not write what it was doing: it is stopped", slot)
        return
    logger.critical("%s is killed. What it was doing:", slot)
    sys.stderr.write(textwrap.indent(stacks, "    "))
    sys.stderr.flush()


def _close(slot: Slot) -> None:
    for descriptor in (slot.pulse, slot.stacks):
        if descriptor >= 0:
            os.close(descriptor)
    slot.pulse = slot.stacks = -1


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
