"""Who was asked to come again, and who came (RFC 6647).

Programs that only throw mail out don't. A network that came again once is let pass for good while it goes on writing;
whatever is not the same network, sender and one recipient at least is somebody else. What a flood can leave here is
bounded by network.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from mailsuite.database.patience import brief_transaction
from mailsuite.database.stored_time import within
from mailsuite.screening.models import GreylistEntry

GREYLISTED, FIRST_TIME = "greylisted", "first-time-sender"
FORGET_WAITING, FORGET_PASSED = timedelta(days=2), timedelta(days=36)
MAX_RECIPIENTS = 100
MAX_WAITING_PER_NETWORK = 500
# How exactly it is kept when somebody who passed was last here.
SEEN_EVERY = timedelta(days=1)


def may_pass(
    kind: str,
    *,
    network: str,
    reverse_path: str,
    recipients: Sequence[str],
    wait: timedelta,
    now: datetime,
    doubts: Collection[str] = (),
) -> bool:
    """Whether the sender waited long enough; notes who doesn't, so that the next time it may.

    Of GREYLISTED the network as a whole passes, of FIRST_TIME each sender for itself, from wherever it comes.
    """
    where = network if kind == GREYLISTED else ""
    if kind == GREYLISTED and _network_passed(kind, network, now):
        return True
    keys = {_key(kind, where, reverse_path, recipient): recipient for recipient in recipients[:MAX_RECIPIENTS]}
    with brief_transaction():
        known = {row.key: row for row in GreylistEntry.objects.select_for_update().filter(key__in=keys)}
        passes = any(row.passed_at or not within(row.first_seen_at, now, wait) for row in known.values())
        if passes:
            GreylistEntry.objects.filter(key__in=keys, passed_at=None).update(passed_at=now)
        GreylistEntry.objects.filter(key__in=known).update(last_seen_at=now)
        if not passes and len(known) < len(keys) and not _is_flood(kind, network):
            GreylistEntry.objects.bulk_create(
                [
                    GreylistEntry(
                        kind=kind,
                        key=key,
                        network=network,
                        reverse_path=_shown(reverse_path),
                        recipient=_shown(recipient),
                        doubts=", ".join(doubts)[:200],
                        first_seen_at=now,
                        last_seen_at=now,
                    )
                    for key, recipient in keys.items()
                    if key not in known
                ],
                ignore_conflicts=True,
            )
    return passes


def let_pass(ids: Sequence[int], now: datetime) -> int:
    """For an administrator who knows better; returns how many."""
    return GreylistEntry.objects.filter(pk__in=ids, passed_at=None).update(passed_at=now, last_seen_at=now)


def forget_old(now: datetime) -> int:
    """Deletes who never came again, and who came but has been silent for long; returns how many."""
    old = GreylistEntry.objects.filter(passed_at=None, last_seen_at__lt=now - FORGET_WAITING)
    silent = GreylistEntry.objects.filter(last_seen_at__lt=now - FORGET_PASSED)
    return old.delete()[0] + silent.delete()[0]


def _network_passed(kind: str, network: str, now: datetime) -> bool:
    passed = GreylistEntry.objects.filter(kind=kind, network=network).exclude(passed_at=None)
    newest = passed.order_by("-last_seen_at").values_list("pk", "last_seen_at").first()
    if newest is None:
        return False
    if not within(newest[1], now, SEEN_EVERY):
        GreylistEntry.objects.filter(pk=newest[0]).update(last_seen_at=now)
    return True


def _is_flood(kind: str, network: str) -> bool:
    waiting = GreylistEntry.objects.filter(kind=kind, network=network, passed_at=None)
    return waiting.count() >= MAX_WAITING_PER_NETWORK


def _shown(text: str) -> str:
    """The text as any database keeps it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:320])


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(part.lower() for part in parts).encode("utf-8", "surrogateescape")).hexdigest()
