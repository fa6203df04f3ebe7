"""What other apps do where the store files mail, or its owner says something of it: they register it in their
AppConfig, and the store knows none of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mailsuite.store.operations import Deliver
from mailsuite.trace.operations import EventFacts
from mailsuite.writer.batch import Batch


@dataclass(frozen=True, slots=True)
class Placed:
    """The message that is being filed: its Content, size in octets, story, and why what leaves is to be held ("" for
    nothing)."""

    content_id: int
    size_octets: int
    story_id: int
    hold_reason: str = ""


# (batch, mailbox_id, content_id, story_id, word): the owner has said by a keyword or a move that it is junk or wanted.
Heard = Callable[[Batch, int, int, int | None, str], None]
# (batch, story_id, since): takes back what was placed by a delivery, whose rows have later ids than `since`; answers
# the ids of the StoryRecipient rows that stay as they are.
TakeBack = Callable[[Batch, int, int], Iterable[int]]

_PLACES: dict[type[Any], Callable[[Batch, Any, Placed], Iterable[EventFacts]]] = {}
_CHECKS: list[Callable[[Batch, Deliver], None]] = []
_COUNTS: list[Callable[[Batch, Deliver], str]] = []
HEARD: list[Heard] = []
TAKE_BACK: list[TakeBack] = []


def register_place(kind: type[Any], fill: Callable[[Batch, Any, Placed], Iterable[EventFacts]]) -> None:
    """Have values of this type in a Deliver (Outgoing, ReportDelivery) turned into rows by `fill`, which answers the
    events of the message's story."""
    _PLACES[kind] = fill


def register_sender_rules(check: Callable[[Batch, Deliver], None], count: Callable[[Batch, Deliver], str]) -> None:
    """Have a delivery refused by `check` before anything is changed, and what leaves held for what `count` answers."""
    _CHECKS.append(check)
    _COUNTS.append(count)


def fill(batch: Batch, place: Any, placed: Placed) -> Iterable[EventFacts]:
    """Puts the message there; answers what there is to tell."""
    return _PLACES[type(place)](batch, place, placed)


def check_sender(batch: Batch, op: Deliver) -> None:
    """Raises Refused where the sender may not have it delivered."""
    for check in _CHECKS:
        check(batch, op)


def count_submission(batch: Batch, op: Deliver) -> str:
    """Counts it for its sender; answers why what leaves is to be held, "" for nothing."""
    return next(filter(None, [count(batch, op) for count in _COUNTS]), "")
