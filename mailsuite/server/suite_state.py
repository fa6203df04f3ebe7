"""What a running suite says of itself in the data folder: where it can be reached, and what keeps it from its work."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


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


def write_state(data: Path, state: SuiteState) -> None:
    """Puts `state` in the place of what the data folder said before; readers see the one or the other, whole."""
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
    return state if is_alive(str(state.pid)) else None


def forget_state(data: Path) -> None:
    """Takes away what the suite said of itself, at its end."""
    _state_path(data).unlink(missing_ok=True)


def _state_path(data: Path) -> Path:
    return data / "run" / "suite.json"


def is_alive(pid: str) -> bool:
    """Whether a process of that number runs, whoever it belongs to; not so of what is no number."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
