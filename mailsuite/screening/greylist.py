"""Who was asked to come again, and who came (RFC 6647).

Programs that only throw mail out don't. A network that came again once is let pass for good while it goes on writing.
Large senders try again from another host of a pool, in another network: the sender and one recipient at least must be
the same, and the network, the domain of the host's confirmed name, or the Message-ID; else it is somebody else. Whose
networks they are a name proves, and a Message-ID does not: that lets the one message pass, while it may be tried again.
What a flood can leave here is bounded by network, and by pool.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from mailsuite.database.patience import brief_transaction
from mailsuite.database.stored_time import lately, within
from mailsuite.screening.models import GreylistEntry

GREYLISTED, FIRST_TIME = "greylisted", "first-time-sender"
FORGET_WAITING, FORGET_PASSED = timedelta(days=2), timedelta(days=36)
MAX_RECIPIENTS = 100
MAX_WAITING_PER_NETWORK = 500
# Networks of one pool that are kept as let pass; from others each of its messages passes by itself.
MAX_POOL_NETWORKS = 64
# How exactly it is kept when somebody who passed was last here.
SEEN_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Keys:
    """By what one recipient's mail may come again."""

    recipient: str
    own: str
    pool: str
    message: str

    def name(self, row: GreylistEntry) -> bool:
        """Whether the row is of the same host, or of another of its pool."""
        return self.own == row.key or row.pool_key == self.pool != ""

    def know(self, row: GreylistEntry) -> bool:
        return self.name(row) or row.message_key == self.message != ""


def may_pass(
    kind: str,
    *,
    network: str,
    reverse_path: str,
    recipients: Sequence[str],
    wait: timedelta,
    now: datetime,
    doubts: Collection[str] = (),
    client_name: str = "",
    message_id: str = "",
) -> bool:
    """Whether the sender waited long enough; notes who doesn't, so that the next time it may. `client_name` is the
    confirmed reverse name of the client, or "".

    Of GREYLISTED the network as a whole passes, of FIRST_TIME each sender for itself, from wherever it comes.
    """
    if kind == GREYLISTED and _network_passed(kind, network, now):
        return True
    if kind == GREYLISTED:
        where, pool = network, _domain_above(client_name)
    else:
        where = pool = message_id = ""
    asked = [
        _Keys(
            recipient,
            _key(kind, where, reverse_path, recipient),
            _key(kind, "pool", pool, reverse_path, recipient) if pool else "",
            _key(kind, "message", message_id, reverse_path, recipient) if message_id else "",
        )
        for recipient in recipients[:MAX_RECIPIENTS]
    ]
    with brief_transaction():
        known = _known(asked, now)
        waited = [row for row in known if row.passed_at or not within(row.first_seen_at, now, wait)]
        passes, is_own = bool(waited), any(keys.name(row) for row in waited for keys in asked)
        ids = [row.pk for row in known]
        if passes:
            GreylistEntry.objects.filter(pk__in=ids, passed_at=None).update(passed_at=now)
        GreylistEntry.objects.filter(pk__in=ids).update(last_seen_at=now)
        new = [keys for keys in asked if not any(map(keys.know, known))]
        if passes:  # once is enough for the network that it came from now
            is_new = is_own and all(row.network != network for row in known) and len(known) < MAX_POOL_NETWORKS
            new = asked[:1] if where and is_new else []
        if new and (passes or not _is_flood(kind, network)):
            passed_at = now if passes else None
            GreylistEntry.objects.bulk_create(
                [_row(kind, network, reverse_path, keys, doubts, now, passed_at) for keys in new],
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


def _known(asked: Sequence[_Keys], now: datetime) -> list[GreylistEntry]:
    same = Q(key__in=[keys.own for keys in asked])
    if pools := [keys.pool for keys in asked if keys.pool]:
        same |= Q(pool_key__in=pools)
    if messages := [keys.message for keys in asked if keys.message]:
        same |= Q(message_key__in=messages) & lately("first_seen_at", now, FORGET_WAITING)
    return list(GreylistEntry.objects.select_for_update().filter(same))


def _row(
    kind: str,
    network: str,
    reverse_path: str,
    keys: _Keys,
    doubts: Collection[str],
    now: datetime,
    passed_at: datetime | None,
) -> GreylistEntry:
    return GreylistEntry(
        kind=kind,
        key=keys.own,
        pool_key=keys.pool,
        message_key=keys.message,
        network=network,
        reverse_path=_shown(reverse_path),
        recipient=_shown(keys.recipient),
        doubts=", ".join(doubts)[:200],
        first_seen_at=now,
        last_seen_at=now,
        passed_at=passed_at,
    )


def _domain_above(name: str) -> str:
    """The domain that the hosts of a pool have in common: the name less its first label, but no top-level domain."""
    above = name.partition(".")[2]
    return above if "." in above else name


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
