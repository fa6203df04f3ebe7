"""Running a batch of operations: one transaction, one commit, all answered.

The same function serves the writer's service and whoever runs operations directly (admin, commands, tests).
"""

import errno
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from mailsuite.database.patience import WriterBusy
from mailsuite.ids import new_id, reference
from mailsuite.writer.batch import Batch, Filed
from mailsuite.writer.operation import (
    GRACE_SECONDS,
    OPERATION_SECONDS,
    Refused,
    Spooled,
    StoreBug,
    StoreUnavailable,
    TooLate,
    Touched,
)
from mailsuite.writer.reading import Reading, read_spooled, summarize
from mailsuite.writer.registry import HANDLINGS, Handling
from mailsuite.writer.reserve import KEPT_FREE_OCTETS, is_disk_full, reserve
from mailsuite.writer.storage import MailStorage, mail_storage
from mailsuite.writer.telling import tell_service

logger = logging.getLogger(__name__)

# What is done by nobody, such as Ping, is answered all the same.
NOTHING = Handling(lambda batch, operation: None)


class Job:
    """An operation under way: its files, then its answer or error. `context` is the caller's own. `deadline` is a time
    of the monotonic clock past which nothing is begun or committed; 0 stands for none."""

    __slots__ = ("answer", "context", "deadline", "error", "files", "operation", "readings")

    def __init__(self, operation: Any, context: Any = None, deadline: float = 0.0) -> None:
        self.operation, self.context = operation, context
        self.deadline = deadline or math.inf
        self.answer: Any = None
        self.error: Exception | None = None
        self.readings: dict[str, Reading | OSError] = {}
        self.files: dict[str, Filed] = {}

    @property
    def handling(self) -> Handling:
        """How its operation is done."""
        return HANDLINGS.get(type(self.operation), NOTHING)

    def is_late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self.deadline

    def is_given_up(self) -> bool:
        """Whether an answer might not reach the asker any more before it has gone."""
        return time.monotonic() > self.deadline + GRACE_SECONDS / 2


def run_jobs(jobs: Sequence[Job]) -> Batch | None:
    """Runs all; every job ends with an answer or an error. Returns what there is to tell, None when nothing.

    A job whose time is over is not begun, and not committed; where the commit itself took too long, what it did is
    taken back, since its asker has told that it was not done.
    """
    _file(_in_time(jobs))
    open_jobs = [job for job in jobs if job.error is None]
    together = [job for job in open_jobs if not job.operation.alone]
    told = [_commit(together)] if together else []
    told += [_commit([job]) for job in open_jobs if job.operation.alone]
    told += [_take_back(job) for job in jobs if job.error is None and job.is_given_up()]
    for job in jobs:
        # Only where it is certain that nothing was committed: a connection that broke at COMMIT may have left rows that
        # name these blobs. The sweep takes what nobody names.
        if isinstance(job.error, Refused):
            mail_storage().discard(filed.blob for filed in job.files.values())
    return _merged([batch for batch in told if batch])


def _in_time(jobs: Sequence[Job]) -> list[Job]:
    """Those whose time is not over; the others are told so."""
    late = [job for job in jobs if job.is_late()]
    for job in late:
        job.error = TooLate("nobody waits for it any longer")
    if late:
        logger.warning("%d operations are withdrawn: their time was over", len(late))
    return [job for job in jobs if job not in late] if late else list(jobs)


def _take_back(job: Job) -> Batch | None:
    """Undoes what was committed too late, if it must not be done twice."""
    job.error = TooLate("it was done too late")
    undo = job.handling.undo
    if undo is None:
        return None
    try:
        with transaction.atomic():
            batch = Batch()
            batch.lock([job.operation])
            undo(batch, job.operation, job.answer)
            batch.finish()
    except Exception:
        logger.exception("%s was done too late and can't be taken back", type(job.operation).__name__)
        return None
    logger.warning("%s was done too late and is taken back", type(job.operation).__name__)
    return batch


def execute(operation: Any) -> Any:
    """Runs one operation here and now, beside the service; returns its answer or raises what it would have sent."""
    job = Job(operation)
    batch = run_jobs([job])
    if job.error:
        raise job.error
    if batch and (batch.hints or batch.queued):
        folder_ids = sorted(batch.hints)
        transaction.on_commit(lambda: tell_service(folder_ids))
    return job.answer


def _file(jobs: Sequence[Job]) -> None:
    """Reads the spool files, then makes them durable blobs."""
    storage, adopted = mail_storage(), []
    is_full = any(map(_takes_room, jobs)) and reserve().free_octets() < KEPT_FREE_OCTETS
    for job in jobs:
        try:
            if is_full and _takes_room(job):
                raise OSError(errno.ENOSPC, "what is left is kept for deletions")
            if _is_done(job):
                job.operation = Touched([])
            for item in job.operation.files():
                reading = job.readings.get(item.spool) or _read(storage, item)
                if isinstance(reading, OSError):
                    raise reading
                if reading.size_octets != item.size_octets:
                    raise ValueError(
                        f"spool file {item.spool} has {reading.size_octets} octets, not {item.size_octets}"
                    )
                job.files[item.spool] = Filed(reading, storage.new_name())
            if job.files:
                adopted.append(job)
        except Exception as error:
            job.error = _error(error, job)
    pairs = [(name, filed.blob) for job in adopted for name, filed in job.files.items()]
    if not pairs:
        return
    try:
        storage.adopt(pairs)
    except Exception as error:
        for job in adopted:
            job.error = _error(error, job)


def _takes_room(job: Job) -> bool:
    """Whether it files what may be filed later as well: a notification must not keep a result from being written."""
    return bool(job.operation.takes_room and job.operation.files())


def _read(storage: MailStorage, item: Spooled) -> Reading:
    """What there is to be known of a spool file, which is made here where its octets came along."""
    if item.octets is not None:
        storage.put_spooled(item.spool, item.octets)
        return summarize(item.octets, table=item.header)
    with storage.open_spooled(item.spool) as file:
        return read_spooled(file, item.header)


def _is_done(job: Job) -> bool:
    """Whether what is asked for again was committed the first time."""
    is_done = job.handling.is_done
    return is_done is not None and job.operation.again and is_done(job.operation, None)


def _commit(jobs: Sequence[Job], *, uncertain: bool = False) -> Batch | None:
    """One transaction for all; when it fails each runs alone, so that what fails fails alone.

    When the connection broke it is `uncertain` whether the commit happened. What can find out (Handling.is_done) does,
    and runs again if it did not; what can't is told that the store was away.
    """
    session = connection.connection
    try:
        if uncertain and _was_committed(jobs[0]):
            return None
        in_time = _in_time(jobs)
        return _transact(in_time) if in_time else None
    except TooLate:
        return _commit(jobs)
    except Exception as error:
        if is_disk_full(error):
            return _commit_in_reserve(jobs, error)
        if isinstance(error, WriterBusy):
            # Each alone would only wait as long again.
            _fail(jobs, error)
            return None
        broke = _connection_broke(session)
        again = [job for job in jobs if not broke or job.handling.is_done]
        if uncertain or (len(jobs) == 1 and not broke):
            again = []
        for job in jobs:
            # The first asking may have been in this very batch, or the one before.
            done = job in again or (not broke and _is_done(job))
            job.error = None if done else _error(error, job)
        if again:
            logger.warning("a batch of %d failed (%s); each runs alone", len(jobs), type(error).__name__)
        return _commit_alone(again, error, uncertain=broke)


def _commit_in_reserve(jobs: Sequence[Job], error: Exception) -> Batch | None:
    """On a full disk what frees room has its turn alone, then pieces of the reserve, as long as there are any."""
    freeing = [job for job in jobs if job.operation.frees]
    _fail([job for job in jobs if not job.operation.frees], error)
    if freeing and (len(freeing) < len(jobs) or reserve().release()):
        return _commit(freeing)
    _fail(freeing, error)
    return None


def _commit_alone(jobs: Sequence[Job], error: Exception, *, uncertain: bool) -> Batch | None:
    """Each in a transaction of its own, as long as others can be made to wait for that."""
    told, patience_ends = [], time.monotonic() + OPERATION_SECONDS
    for number, job in enumerate(jobs):
        if time.monotonic() > patience_ends:
            _fail(jobs[number:], error)
            break
        told.append(_commit([job], uncertain=uncertain))
    return _merged([batch for batch in told if batch])


def _fail(jobs: Sequence[Job], error: Exception) -> None:
    for job in jobs:
        job.error = _error(error, job)


def _connection_broke(session: Any) -> bool:
    """Whether the session that the batch began on is gone; Django may have made another on its way out of the
    transaction. It is then made anew when next needed."""
    if connection.connection is not None and connection.connection is (session or connection.connection):
        if connection.is_usable():
            return False
    connection.close()
    return True


def _was_committed(job: Job) -> bool:
    """Whether what it did is there, with the blobs that were made for it."""
    job.error = None
    is_done = job.handling.is_done
    return is_done is not None and is_done(job.operation, [filed.blob for filed in job.files.values()])


def _transact(jobs: Sequence[Job]) -> Batch:
    with transaction.atomic():
        batch = Batch()
        batch.lock([job.operation for job in jobs])
        for job in jobs:
            batch.files.update(job.files)
            try:
                job.error = None
                job.answer = job.handling.run(batch, job.operation)
            except Refused as refusal:
                if job.operation.alone:
                    raise
                job.error = refusal
        batch.finish()
        if any(job.is_late() for job in jobs):
            raise TooLate
    return batch


def _merged(batches: Sequence[Batch]) -> Batch | None:
    if not batches:
        return None
    first = batches[0]
    for other in batches[1:]:
        first.hints |= other.hints
        first.queued |= other.queued
    return first


def _error(error: Exception, job: Job) -> Exception:
    """What the asker is told: refusals as they are, the rest without internals."""
    if isinstance(error, Refused):
        return error
    if is_disk_full(error) and job.operation.takes_room:
        logger.error("%s is refused: the disk is full (%s)", type(job.operation).__name__, error)
        return Refused("storage-full", "the server has no room on its disk now")
    if isinstance(error, OSError | OperationalError | InterfaceError):
        logger.error("%s can't be done now: %s", type(job.operation).__name__, error)
        return StoreUnavailable(str(error))
    bug = StoreBug(reference(new_id()))
    logger.error("%s failed as %s", type(job.operation).__name__, bug.reference, exc_info=error)
    return bug
