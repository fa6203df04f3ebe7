"""A place for one worker of this host: who takes it learns whose it was, and that that worker has ended.

The kernel drops a dead process's lock, so what it had claimed is made due again at once instead of when its leases end.
"""

import fcntl
import os
import uuid
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Slot:
    """`token` is this worker's; `previous` that of the one before, "" when there was none."""

    token: str
    previous: str
    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


def take_slot(folder: Path) -> Slot:
    """Takes the first place that no living worker has; made as files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in count():
        descriptor = os.open(folder / f"deliver-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        previous = os.read(descriptor, 36).decode("ascii", "replace")
        token = str(uuid.uuid4())
        os.pwrite(descriptor, token.encode("ascii"), 0)
        return Slot(token, previous, descriptor)
    raise AssertionError
