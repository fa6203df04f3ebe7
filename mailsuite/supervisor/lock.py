"""The lock on the data folder, which makes a suite the only one that runs on it."""

import fcntl
import os
import time
from pathlib import Path

from mailsuite.server.suite_state import is_alive

LEFTOVER_SECONDS = 15.0


class AlreadyRunning(Exception):
    """Another suite uses this data folder; str() names it."""


def lock_data_folder(data: Path) -> int:
    """Takes the lock for this process and the services it will fork; returns the descriptor that holds it.

    The services inherit it, so that a new suite can't start beside what is left of a killed one: for these it waits.
    Raises AlreadyRunning.
    """
    descriptor = os.open(data / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode().strip()
            if is_alive(owner) or time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyRunning(
                    f"Mailsuite is already running on {data} (process {owner or 'unknown'}). "
                    "Stop that one first, or give this one another folder by MAILSUITE_DATA."
                ) from None
            time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
