"""What another app would have: an operation of its own for the writer, how it is done, and rows that it locks."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Operation, Refused
from mailsuite.writer.registry import register, register_locks


class Greet(Operation[str], frozen=True, tag=True):
    """Counts whom it greets; answers how many there were. Refused: cannot."""

    Answer: ClassVar[Any] = str
    name: str


class Guests:
    """Locked for the greetings of a batch."""

    def __init__(self, batch: Batch, operations: Sequence[Operation[Any]]) -> None:
        self.names = [operation.name for operation in operations if isinstance(operation, Greet)]

    def finish(self) -> None:
        assert "" not in self.names


def greet(batch: Batch, op: Greet) -> str:
    from mailsuite.trace.models import RefusalCount

    if op.name == "nobody":
        raise Refused("cannot", "there is nobody to greet")
    assert op.name in batch.locked(Guests).names
    RefusalCount.objects.create(network=op.name, reason="greeted", minute=datetime.now(UTC))
    return f"{op.name} of {RefusalCount.objects.count()}"


def register_all() -> None:
    register(Greet, greet)
    register_locks(30, Guests)
