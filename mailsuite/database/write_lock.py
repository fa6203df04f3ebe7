"""The lock that SQLite's writers queue up for: `flock` on one file, with a limit of time and the holder's name.

The kernel serves those who wait in their order; to ask again and again instead starves (two writers in turns: one got
one turn of 3,000). It knows no limit of time, so whoever finds the lock taken leaves the waiting to a thread. One that
is no longer waited for gives the lock back as soon as it gets it.
"""

import fcntl
import logging
import os
import threading
import time
from pathlib import Path

from mailsuite.database.patience import WriterBusy

logger = logging.getLogger(__name__)

# Whoever waited so long is told by whom it was kept, though it got the lock.
WORTH_A_WORD_SECONDS = 2.0
# Threads of this process that wait for nobody any more, should the holder never let go.
MAX_ABANDONED = 32
ASK_AGAIN_SECONDS = 0.02

_abandoned = 0
_counting = threading.Lock()


def acquire(path: str, seconds: float) -> int:
    """Returns the descriptor that holds the lock. Raises WriterBusy after `seconds`."""
    # One description for each transaction: flock excludes threads of one process as well as processes.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait(path, descriptor, seconds)
    except BaseException:
        os.close(descriptor)
        raise
    _sign(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """Gives the lock back, also where a child was forked meanwhile that has a copy of the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def holder(path: str) -> str:
    """Who has the lock now, for a log line: "process 123 (ms-store, stopped)"; "an unknown process" where nothing says
    so. The kernel knows; where it does not tell, the last of our own that had it is named."""
    try:
        inode = os.stat(path).st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            # proc(5): number, "->" where it waits, kind, mode, access, process, device:inode, range.
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
                return _describe(fields[4])
    except (OSError, IndexError):
        pass
    try:
        pid = Path(path).read_text().strip()
    except (OSError, ValueError):
        pid = ""
    return f"{_describe(pid)}, it seems," if pid.isdigit() else "an unknown process"


def _sign(descriptor: int) -> None:
    """Leaves this process's number in the file, unless it is there: most often one process writes many times."""
    mine = b"%-10d\n" % os.getpid()
    try:
        if os.pread(descriptor, len(mine), 0) != mine:
            os.pwrite(descriptor, mine, 0)
    except OSError:  # a full disk keeps nobody from writing what makes room
        pass


def _wait(path: str, descriptor: int, seconds: float) -> None:
    """Waits for the lock by a thread; sees to the descriptor before it raises."""
    if _abandoned >= MAX_ABANDONED:
        return _ask_again_and_again(path, descriptor, seconds)
    began, keeper, waiter = time.monotonic(), "", _Waiter(descriptor)
    waiter.start()
    if not waiter.got_it.wait(min(seconds, WORTH_A_WORD_SECONDS)):
        keeper = holder(path)
        waiter.got_it.wait(max(0.0, seconds - WORTH_A_WORD_SECONDS))
    if not waiter.take():
        raise _busy(path, time.monotonic() - began)
    if waiter.error:
        os.close(descriptor)
        raise waiter.error
    if keeper:
        logger.warning("waited %.1f s for the write lock, which %s held", time.monotonic() - began, keeper)


def _ask_again_and_again(path: str, descriptor: int, seconds: float) -> None:
    """Waits without a thread, of which there are too many: the lock has not been free for long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(ASK_AGAIN_SECONDS)
    os.close(descriptor)
    raise _busy(path, seconds)


class _Waiter(threading.Thread):
    """Waits for the lock on the descriptor, whose owner it is unless `take` said that it was got."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="write-lock", daemon=True)
        self.got_it = threading.Event()
        self.error: OSError | None = None
        self._descriptor, self._mutex, self._is_wanted = descriptor, threading.Lock(), True

    def run(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self.error = error
        with self._mutex:
            self.got_it.set()
            if self._is_wanted:
                return
        _count(-1)
        release(self._descriptor)

    def take(self) -> bool:
        """Whether it is got (or failed); if not, it is waited for no longer."""
        with self._mutex:
            if not self.got_it.is_set():
                self._is_wanted = False
                _count(1)
        return self._is_wanted


def _count(step: int) -> None:
    global _abandoned
    with _counting:
        _abandoned += step


def _busy(path: str, seconds: float) -> WriterBusy:
    error = WriterBusy(f"the write lock was not free for {seconds:.0f} s; {holder(path)} holds it")
    logger.error("%s", error)
    return error


def _describe(pid: str) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return f"process {pid}"
    # A command's name and first words, no more: what follows may be an address or a password.
    said = (
        name
        if name.startswith("ms-")
        else " ".join(os.path.basename(word.decode("ascii", "replace")) for word in words[:3])
    )
    return f"process {pid} ({said or name}{', stopped' if state == 'T' else ''})"
