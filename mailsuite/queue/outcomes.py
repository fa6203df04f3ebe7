"""What became of queued mail, as its sender is told it; whoever writes such mail is registered here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from mailsuite.mail.dsn import Action
from mailsuite.queue.operations import Claim
from mailsuite.store.operations import Deliver


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one claimed recipient. `diagnostic` is the remote reply, or our words; `status` as in RFC 3463."""

    claim: Claim
    action: Action
    status: str
    diagnostic: str
    remote_host: str = ""
    retry_until: datetime | None = None


# (outcomes of one message, now): the deliveries that tell its sender
Notify = Callable[[Iterable[Fate], datetime], list[Deliver]]
_NOTIFY: list[Notify] = []


def register_notifications(notify: Notify) -> None:
    """Have senders told by this of what an administrator gives up."""
    _NOTIFY[:] = [notify]


def notifications(fates: Iterable[Fate], now: datetime) -> list[Deliver]:
    """Return the deliveries that tell the sender of one message what became of it."""
    outcomes = list(fates)
    return [delivery for notify in _NOTIFY for delivery in notify(outcomes, now)]
