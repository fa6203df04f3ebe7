"""What the writer knows of the apps: nothing but what they register here, when Django starts (AppConfig.ready).

register(Subscribe, folders.subscribe)          # an operation, and the function (batch, operation) -> answer
register_locks(10, Locked)                      # rows that operations share, in one order for everybody
register_buffer(TellStory, RefusalBuffer)       # what is gathered and written later, and may be lost
register_chores(next_chore)                     # what is left to be done when nobody waits
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Protocol

from mailsuite.writer.operation import Forget, Operation, Ping, Touched, Watch

if TYPE_CHECKING:
    from mailsuite.writer.batch import Batch


@dataclass(frozen=True, slots=True)
class Handling:
    """How one type of operation is done. `undo` takes back what was done too late for its asker, given the answer.
    `is_done` says whether it was committed before: with the names of its blobs whether by this very try, without them
    whether at all; what has it can be asked for again, and its field `again` says so."""

    run: "Callable[[Batch, Any], Any]"
    undo: "Callable[[Batch, Any, Any], None] | None" = None
    is_done: Callable[[Any, Sequence[str] | None], bool] | None = None


class Locks(Protocol):
    """Rows that one app has locked for the operations of a batch."""

    def finish(self) -> None:
        """Write them; the commit follows."""
        ...


class Buffer(Protocol):
    """Operations that are written later. `due` is the monotonic time of the next flush, None for never."""

    due: float | None

    def add(self, operation: Any, now: float) -> None:
        """Take one, which is not written yet; `now` is a time of the monotonic clock."""
        ...

    def flush(self, now: float) -> None:
        """Write what is due by then, in a transaction of its own; everything where that is infinite."""
        ...


HANDLINGS: dict[type[Any], Handling] = {}
LOCKS: "list[tuple[int, Callable[[Batch, Sequence[Operation[Any]]], Locks]]]" = []
BUFFERS: dict[type[Any], Callable[[], Buffer]] = {}
CHORES: list[Callable[[datetime], Operation[Any] | None]] = []
AT_START: list[Callable[[], object]] = []
_OWN = (Touched, Forget, Ping, Watch)


def register(
    operation: type[Operation[Any]],
    run: "Callable[[Batch, Any], Any]",
    *,
    undo: "Callable[[Batch, Any, Any], None] | None" = None,
    is_done: Callable[[Any, Sequence[str] | None], bool] | None = None,
) -> None:
    """Have operations of this type done so."""
    HANDLINGS[operation] = Handling(run, undo, is_done)


def register_locks(order: int, make: "Callable[[Batch, Sequence[Operation[Any]]], Locks]") -> None:
    """Have `make` lock what the operations of a batch need, before any begins, those of lower order first: whoever
    locks in one order never waits in a circle."""
    LOCKS.append((order, make))
    LOCKS.sort(key=lambda ordered: ordered[0])


def register_buffer(operation: type[Operation[Any]], make: Callable[[], Buffer]) -> None:
    """Have operations of this type answered at once, and written by the service's own buffer."""
    BUFFERS[operation] = make


def register_chores(next_chore: Callable[[datetime], Operation[Any] | None]) -> None:
    """Have `next_chore` asked what to do next when nobody waits; it answers None when there is nothing."""
    CHORES.append(next_chore)


def register_start(function: Callable[[], object]) -> None:
    """Have it called when the writer's service starts, the only one of its host."""
    AT_START.append(function)


def next_chore(now: datetime) -> Operation[Any] | None:
    """The operation that is to be done next; None when there is nothing."""
    return next((chore for look in CHORES if (chore := look(now)) is not None), None)


def any_operation() -> Any:
    """The union of all types of operations, for a decoder."""
    return reduce(or_, (*_OWN, *BUFFERS, *HANDLINGS))
