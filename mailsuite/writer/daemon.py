"""The store service: the one writer of mail and queue on its host.

A plain loop without threads. Each round reads all requests that wait, from all connections, and runs them as one
batch: files made durable, one transaction, one commit, all answered, hints sent. No artificial delay: a batch is
whatever gathered during the previous commit. Large messages are read by forked children meanwhile.
"""

import fcntl
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connections
from django.utils import timezone

from mailsuite.database.patience import limit_statements
from mailsuite.server.pulse import BEAT_SECONDS
from mailsuite.server.service import ServiceContext
from mailsuite.writer import registry, wire
from mailsuite.writer.operation import Forget, Hint, Refused, Spooled, StoreBug, StoreUnavailable, Touched, Watch
from mailsuite.writer.reading import CHILD_SECONDS, INLINE_OCTETS, Child, is_much_work
from mailsuite.writer.reserve import reserve
from mailsuite.writer.run import Job, run_jobs
from mailsuite.writer.storage import StoredFile, mail_storage

logger = logging.getLogger(__name__)

BATCH_JOBS = 256
READERS = 2
CHORES_SECONDS = 30.0
# Longer than that nobody waits for one statement, nor for a transaction of ours to go on.
STATEMENT_SECONDS = 60
RESERVE_SECONDS = 10.0
# For the store before, which may still be ending.
TURN_SECONDS = 5.0
# A watcher that does not read its hints is cut off: it looks for itself when it comes back. Answers may be larger, and
# many at once: a client that asked for them has yet to be given the time to read them.
MAX_UNSENT = 8 * 1024 * 1024
MAX_UNSENT_ANSWERS = 4 * wire.MAX_FRAME


class Connection:
    """One client of the service; `output` waits for the socket to take it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = wire.Frames()
        self.output = bytearray()
        self.watches = False
        self.closed = False


class StoreService:
    def __init__(self, context: ServiceContext) -> None:
        self._path = context.configuration.store_socket
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._ready: list[Job] = []
        self._large: list[Job] = []
        self._children: dict[Child, tuple[Job, Sequence[Spooled], StoredFile, str]] = {}
        self._buffers = {operation: make() for operation, make in registry.BUFFERS.items()}
        self._stopping = False
        self._chores_due = 0.0
        self._reserve_at = 0.0
        self._parent_pipe, self._pulse = context.parent_pipe, context.pulse

    def run(self) -> None:
        """Serves until SIGTERM or the end of the pipe from the parent; what was asked for by then is done."""
        listener = self._listen()
        self._handle_signals()
        if self._parent_pipe is not None:
            self._selector.register(self._parent_pipe, selectors.EVENT_READ, self._stop)
        try:
            while not self._stopping or self._ready or self._children or self._large:
                self._pulse.beat()
                self._look_after_reserve()
                self._wait(listener)
                self._start_readers()
                jobs, self._ready = self._ready[:BATCH_JOBS], self._ready[BATCH_JOBS:]
                if jobs:
                    self._run(jobs)
                self._do_chore(jobs)
                self._flush(time.monotonic())
            self._flush(float("inf"))
        finally:
            self._path.unlink(missing_ok=True)
            for connection in list(self._connections):
                self._close(connection)

    def _flush(self, now: float) -> None:
        for buffer in self._buffers.values():
            buffer.flush(now)

    def _look_after_reserve(self) -> None:
        """Makes it again where there is room: it was given up piece by piece."""
        now = time.monotonic()
        if now >= self._reserve_at:
            self._reserve_at = now + RESERVE_SECONDS
            reserve().make()

    def _listen(self) -> socket.socket:
        """The socket is bound under another name and renamed: whoever can see it can connect."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(draft))
        draft.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
        draft.rename(self._path)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _handle_signals(self) -> None:
        """Signals wake the selector through a pipe, so none is missed between a look and a wait."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._wake_read = wake_read
        self._selector.register(wake_read, selectors.EVENT_READ, self._stop)

    def _stop(self, _key: Any, _events: int) -> None:
        """What was asked for before is still done; nothing new is accepted."""
        if not self._stopping:
            self._stopping = True
            self._selector.unregister(self._wake_read)
            if self._parent_pipe is not None:
                self._selector.unregister(self._parent_pipe)

    def _wait(self, listener: socket.socket) -> None:
        for key, events in self._selector.select(self._timeout()):
            key.data(key.fileobj, events)
        now = time.monotonic()
        for child in [child for child in self._children if child.deadline <= now]:
            self._read_by_child(child)

    def _timeout(self) -> float:
        if self._ready or self._stopping and not self._children:
            return 0
        waits = [child.deadline for child in self._children]
        waits.append(self._chores_due)
        waits += [buffer.due for buffer in self._buffers.values() if buffer.due]
        return min(BEAT_SECONDS, max(0.0, min(waits) - time.monotonic()))

    def _accept(self, listener: socket.socket, _events: int) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        connection = Connection(sock)
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, lambda _, events: self._serve(connection, events))

    def _serve(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send(connection, b"")
        if not events & selectors.EVENT_READ or connection.closed:
            return
        try:
            while data := connection.sock.recv(1 << 18):
                for frame in connection.frames.feed(data):
                    self._take(connection, *wire.read_request(frame))
            self._close(connection)
        except BlockingIOError:
            return
        except (OSError, wire.WireError) as error:
            logger.warning("a client of the store is cut off: %s", error)
            self._close(connection)

    def _take(self, connection: Connection, request_id: int, operation: Any, deadline: float) -> None:
        match operation:
            case Forget(request_id=forgotten):
                self._forget(lambda context: context == (connection, forgotten))
            case Watch():
                connection.watches = True
            case Touched(folder_ids=folder_ids):
                self._hint(folder_ids, queued=not folder_ids)
            case _ if buffer := self._buffers.get(type(operation)):
                buffer.add(operation, time.monotonic())
            case _:
                job = Job(operation, (connection, request_id), deadline)
                (self._large if _large(operation) else self._ready).append(job)
                return
        if request_id:
            self._send(connection, wire.answer(request_id, wire.Status.DONE, None))

    def _forget(self, is_forgotten: Callable[[tuple[Connection, int]], bool]) -> None:
        """Has the jobs' time be over; they are dropped when their turn comes."""
        waiting = [*self._ready, *self._large, *(job for job, *_ in self._children.values())]
        for job in waiting:
            if is_forgotten(job.context) and not job.operation.lasting:
                job.deadline = 0.0

    def _start_readers(self) -> None:
        """Gives large files to children, a few at a time; the job is ready when all its files are read."""
        while self._large and len(self._children) < READERS:
            job = self._large.pop(0)
            self._read_next(job, _large(job.operation))

    def _read_next(self, job: Job, items: Sequence[Spooled]) -> None:
        if not items or job.is_late():
            self._ready.append(job)
            return
        item, *others = items
        try:
            file = _spooled(item)
        except (OSError, ValueError):
            self._ready.append(job)  # running it says what is wrong
            return
        child = Child(file, time.monotonic() + CHILD_SECONDS, self._close_all, item.header)
        self._children[child] = (job, others, file, item.spool)
        self._selector.register(child, selectors.EVENT_READ, lambda *_: self._hear_child(child))

    def _hear_child(self, child: Child) -> None:
        if child.receive():
            self._read_by_child(child)

    def _read_by_child(self, child: Child) -> None:
        job, others, file, name = self._children.pop(child)
        self._selector.unregister(child)
        try:
            job.readings[name] = child.finish()
        except OSError as error:
            logger.error("spool file %s can't be read: %s", name, error)
            job.readings[name] = error
        finally:
            file.close()
        self._read_next(job, others)

    def _close_all(self) -> None:
        """In a forked child: its copies of the clients' sockets must not keep their connections open."""
        for connection in self._connections:
            connection.sock.close()

    def _run(self, jobs: list[Job]) -> None:
        told = run_jobs(jobs)
        for job in jobs:
            connection, request_id = job.context
            if request_id:
                self._send(connection, wire.answer(request_id, *_outcome(job)))
        if told:
            self._hint(sorted(told.hints), queued=told.queued)

    def _do_chore(self, jobs: Sequence[Job]) -> None:
        """A slice of what nobody waits for, when it is time to look or one of these may have left some."""
        if not any(job.operation.leaves_chores for job in jobs):
            if time.monotonic() < self._chores_due or self._stopping:
                return
        self._chores_due = time.monotonic() + CHORES_SECONDS
        try:
            operation = registry.next_chore(timezone.now())
        except DatabaseError as error:
            logger.error("the database can't be asked what is left to be done: %s", error)
            return
        if operation is None:
            return
        job = Job(operation)
        told = run_jobs([job])
        if job.error is None:
            self._chores_due = 0.0
        if told:
            self._hint(sorted(told.hints), queued=told.queued)

    def _hint(self, folder_ids: list[int], *, queued: bool) -> None:
        if not folder_ids and not queued:
            return
        frame = wire.answer(0, wire.Status.DONE, Hint(folder_ids, queued))
        for connection in [c for c in self._connections if c.watches]:
            self._send(connection, frame, MAX_UNSENT)

    def _send(self, connection: Connection, data: bytes, most: int = MAX_UNSENT_ANSWERS) -> None:
        if connection.closed:
            return
        connection.output += data
        try:
            sent = connection.sock.send(connection.output)
            del connection.output[:sent]
        except BlockingIOError:
            pass
        except OSError:
            return self._close(connection)
        if len(connection.output) > most:
            logger.warning("a client of the store does not read its answers and is cut off")
            return self._close(connection)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.output else 0)
        key = self._selector.get_key(connection.sock)
        if key.events != wanted:
            self._selector.modify(connection.sock, wanted, key.data)
        return None

    def _close(self, connection: Connection) -> None:
        if not connection.closed:
            connection.closed = True
            self._connections.discard(connection)
            self._selector.unregister(connection.sock)
            connection.sock.close()
            # Who asked may be there still, and ask again or withdraw over another connection: never do it after that.
            self._forget(lambda context: context[0] is connection)


def _large(operation: Any) -> Sequence[Spooled]:
    """Of what the operation files that which a child is to read."""
    return [item for item in operation.files() if _is_for_child(item)]


def _is_for_child(item: Spooled) -> bool:
    if item.size_octets > INLINE_OCTETS:
        return True
    if item.octets is not None:
        return is_much_work(item.octets)
    try:
        with _spooled(item) as file:
            return is_much_work(file.read(0, INLINE_OCTETS))
    except (OSError, ValueError):
        return False  # running it says what is wrong


def _spooled(item: Spooled) -> StoredFile:
    """The spool file, open; it is made here where its octets came along. Raises OSError or ValueError."""
    if item.octets is not None:
        mail_storage().put_spooled(item.spool, item.octets)
    return mail_storage().open_spooled(item.spool)


def _outcome(job: Job) -> tuple[wire.Status, Any]:
    match job.error:
        case None:
            return wire.Status.DONE, job.answer
        case Refused(code=code, text=text):
            return wire.Status.REFUSED, (code, text)
        case StoreBug(reference=reference):
            return wire.Status.BUG, reference
        case StoreUnavailable():
            return wire.Status.UNAVAILABLE, "the store can't do this now"
    return wire.Status.BUG, ""


def run(context: ServiceContext) -> int:
    """Serves until SIGTERM or until the parent is gone."""
    lock = _take_lock(context.configuration.store_socket)
    if lock is None:
        return 1
    limit_statements(STATEMENT_SECONDS)
    mail_storage().prepare()
    for begin in registry.AT_START:
        begin()
    try:
        StoreService(context).run()
    finally:
        connections.close_all()
        os.close(lock)
    return 0


def _take_lock(path: Path) -> int | None:
    """Makes this the only store of its data folder until the descriptor returned is closed, or the process ends; None
    when another serves it. A second one would take the socket away from the first, and sweep what that one receives."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + TURN_SECONDS
    while True:
        try:
            # Not flock(2): children that read large messages would hold it beyond the death of this process.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                logger.critical("Another store, perhaps that of `up`, serves %s: stop that one first", path)
                os.close(descriptor)
                return None
            time.sleep(0.05)
