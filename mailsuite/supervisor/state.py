"""What a running suite leaves in the data folder: the lock that makes it the only one, and where it can be reached."""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

LEFTOVER_SECONDS = 15.0


class AlreadyRunning(Exception):
    """Another suite uses this data folder; str() names it."""


@dataclass(frozen=True, slots=True)
class SuiteState:
    """`listeners` by name, each (host, port); `services` the process ids by service, workers in order; `restarts` how
    often each service ended unasked and was started again, `troubles` what keeps one from working now, in words by its
    name."""

    pid: int
    listeners: dict[str, list[tuple[str, int]]]
    services: dict[str, list[int]]
    restarts: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


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
            if _is_alive(owner) or time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyRunning(
                    f"Mailsuite is already running on {data} (process {owner or 'unknown'}). "
                    "Stop that one first, or give this one another folder by MAILSUITE_DATA."
                ) from None
            time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def write_state(data: Path, state: SuiteState) -> None:
    path = _state_path(data)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(state)))
    draft.replace(path)


def read_state(data: Path) -> SuiteState | None:
    """The state of the suite that runs on this folder now, or None."""
    try:
        fields = json.loads(_state_path(data).read_text())
    except (OSError, ValueError):
        return None
    fields["listeners"] = {name: [(host, port) for host, port in some] for name, some in fields["listeners"].items()}
    state = SuiteState(**fields)
    return state if _is_alive(str(state.pid)) else None


def forget_state(data: Path) -> None:
    _state_path(data).unlink(missing_ok=True)


def _state_path(data: Path) -> Path:
    return data / "run" / "suite.json"


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
