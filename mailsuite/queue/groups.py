"""What waits in the queue, by where it goes and why: one line for each trouble instead of one for each message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet

from mailsuite.database.sql import slices
from mailsuite.errors import ChangeRefused
from mailsuite.queue import services
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.trace import sentences
from mailsuite.trace.models import StoryRecipient

# The largest groups are shown.
MOST = 12
UNTRIED = "not tried yet"
# Messages of a group that are tried again, or given up, at one go: of each that is given up a notification is made.
RETRIED_AT_ONCE, FAILED_AT_ONCE = 5000, 200


@dataclass(frozen=True, slots=True)
class Group:
    """Recipients that wait for the same destination for the same cause. `why` is a sentence without its full stop,
    `cause` its word, `said` what the destination's host said to one of them; `next_at` is None while they are tried."""

    destination: str
    cause: str
    count: int
    why: str
    advice: str
    said: str
    oldest_at: datetime
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """Messages that are held for the same reason."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """`count` are the recipients that wait, `held_count` the messages that are held."""

    count: int
    groups: Sequence[Group]
    more: int
    held_count: int
    held: Sequence[HeldGroup]

    @property
    def headline(self) -> str:
        """All of it in a sentence."""
        if not self.count:
            return "Nothing waits to be tried again."
        verb = "waits" if self.count == 1 else "wait"
        first = self.groups[0]
        if first.count == self.count:
            whole = f"{self.count} {verb} for {first.destination}"
        else:
            whole = f"{self.count} {verb}; {first.count} of them for {first.destination}"
        return f"{whole}: {first.why}."


def waiting(messages: QuerySet[QueuedMessage]) -> Waiting:
    """What of these messages waits or is held."""
    unsettled = messages.filter(settled_at=None)
    rows = _waiting(unsettled)
    groups: Any = rows.values("destination", "cause")
    groups = groups.annotate(
        count=Count("pk"), oldest=Min("message__created_at"), next=Min("next_attempt_at"), last=Max("pk")
    )
    found = list(groups.order_by("-count", "destination", "cause"))
    last = QueuedRecipient.objects.in_bulk([group["last"] for group in found[:MOST]])
    held = unsettled.exclude(held_at=None).order_by().values_list("hold_reason").annotate(n=Count("pk"))
    held_groups = [HeldGroup(reason, count) for reason, count in held.order_by("-n", "hold_reason")]
    return Waiting(
        sum(group["count"] for group in found),
        [_group(group, last.get(group["last"])) for group in found[:MOST]],
        sum(group["count"] for group in found[MOST:]),
        sum(one.count for one in held_groups),
        held_groups[:MOST],
    )


@dataclass(frozen=True, slots=True)
class Done:
    """What was done with a group at one go: the messages that were looked at, how many of them were changed, and how
    many more there are."""

    message_ids: Sequence[int]
    count: int
    left: int


def retry(
    messages: QuerySet[QueuedMessage], destination: str, cause: str | None, *, at_once: int | None = RETRIED_AT_ONCE
) -> Done:
    """Makes due now what of the messages waits for the destination for that cause, with None for any. Raises
    ChangeRefused where nothing does any more."""
    return _do(messages, destination, cause, at_once, services.retry)


def fail(
    messages: QuerySet[QueuedMessage],
    destination: str,
    cause: str | None,
    by: str,
    *,
    at_once: int | None = FAILED_AT_ONCE,
) -> Done:
    """Gives up on these recipients, and on no other of their messages, and tells the senders. Raises the same."""
    return _do(messages, destination, cause, at_once, lambda ids, only: services.fail(ids, by, only))


def _do(
    messages: QuerySet[QueuedMessage],
    destination: str,
    cause: str | None,
    at_once: int | None,
    do: Callable[[Sequence[int], Q], int],
) -> Done:
    """Does it to the oldest of the messages, a slice at a time: the one writer has other work between."""
    group = Q(destination=destination) if cause is None else Q(destination=destination, cause=cause)
    rows = _waiting(messages.filter(settled_at=None)).filter(group).order_by("message")
    ids = list(rows.values_list("message", flat=True).distinct())
    count, refusal = 0, ChangeRefused("Nothing of it waits any more.")
    for part in slices(ids[:at_once]):
        try:
            count += do(part, group)
        except ChangeRefused as error:
            # Of these all are under way, or somebody else was quicker.
            refusal = error
    if not count:
        raise refusal
    return Done(ids[:at_once], count, len(ids) - len(ids[:at_once]))


def _waiting(unsettled: QuerySet[QueuedMessage]) -> QuerySet[QueuedRecipient]:
    """The recipients of these messages that are to be tried again."""
    rows = QueuedRecipient.objects.filter(settled_at=None, message__held_at=None, message__in=unsettled)
    return rows.order_by()


def why(row: QueuedRecipient) -> str:
    """Why the recipient waits, as the rest of a sentence."""
    if not row.last_reply:
        return "it is being tried now" if row.claim_token else UNTRIED
    return sentences.why(StoryRecipient.Fate.WAITING, row.cause, _said(row)) or UNTRIED


def _group(group: dict[str, Any], row: QueuedRecipient | None) -> Group:
    row = row or QueuedRecipient()
    said = sentences.said(row.cause, _said(row))
    return Group(
        group["destination"],
        group["cause"],
        group["count"],
        why(row),
        sentences.advice(row.cause),
        said,
        group["oldest"],
        group["next"],
    )


def _said(row: QueuedRecipient) -> str:
    return f"{row.last_host}: {row.last_reply}" if row.last_host else row.last_reply
