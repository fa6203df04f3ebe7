"""How failed logins slow down those who fail, over SMTP, IMAP, POP3 and web together. All state is in LoginThrottle.

A *network* is an IPv4 address or an IPv6 /64. Three counters move with each counted failure: of the pair (network,
account), of the account, of the network. Above its allowance a counter blocks, for longer with each further failure.
The rules, each of which has a row in the tests:

1. A failure is answered late: DELAY_SECONDS grows with the failures of the pair.
2. A blocked pair, account or network is refused before anything is hashed, and what is refused is not counted: so one
   client with an old password can't run up the count of the network that its household shares.
3. The same wrong password from the same pair counts once (for the first REPEATS): a client that fails opens several
   connections at once and tries again every few minutes, which is no guessing.
4. A network from which the account was signed in to within KNOWN_GOOD is *known*: no block refuses it, it is only
   answered SLOW_SECONDS late while one holds, unless the password is one that the process has seen to be right.
   Neither somebody else behind the same address nor an attack from everywhere locks its owner out. But after
   KNOWN_ALLOWED different wrong passwords of the pair (hundreds of sessions wait at once, each its SLOW_SECONDS) its
   block holds here as well, for all but such passwords: those are checked again, and whoever guesses has none of them.
5. A success clears its pair's counter and no other: signing in to an account of one's own must not buy more guesses.
   Nor does the owner's, late because of a block, buy more for a neighbour.
6. App passwords, which nobody can guess, and logins verified minutes ago are not asked about (authentication.py).
7. A network that goes on is banned (mailsuite.abuse): what counts are counted failures, and different passwords that
   were refused unhashed by rule 2; not those for an account that the network is known for. A network from which anybody
   signed in lately is never banned for guessing.

What an attacker gets: PAIR.allowed guesses at an account from each network per window, ACCOUNT.allowed from all unknown
ones, NETWORK.allowed at all accounts from one, KNOWN_ALLOWED at an account from a network that it knows. Accounts that
don't exist are counted like those that do.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.db import transaction
from django.db.models import Q

from mailsuite.bounded import Bounded
from mailsuite.database.stored_time import SKEW, holds, within
from mailsuite.directory.models import LoginThrottle
from mailsuite.mail.client_network import client_network

KNOWN_GOOD = timedelta(days=30)
DELAY_SECONDS = (0.5, 1.0, 2.0, 4.0)
SLOW_SECONDS = 5.0
KNOWN_ALLOWED = 100
REPEATS = 10
REMEMBERED_REPEATS = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`allowed` failures within `window`; the next one blocks for `first`, each further one for twice as long."""

    window: timedelta
    allowed: int
    first: timedelta
    longest: timedelta


PAIR = Limit(timedelta(minutes=10), 5, timedelta(seconds=30), timedelta(minutes=15))
ACCOUNT = Limit(timedelta(hours=1), 30, timedelta(minutes=1), timedelta(minutes=15))
NETWORK = Limit(timedelta(hours=1), 40, timedelta(minutes=1), timedelta(hours=1))


class Verdict(Enum):
    FREE = "free"
    BLOCKED = "blocked"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries to get where. `account` is an address key, whether anybody has it or not."""

    client_address: str
    account: str

    @property
    def limits(self) -> dict[str, Limit]:
        """The counters it moves, by key."""
        net = network(self.client_address)
        return {f"net:{net} {self.account}": PAIR, f"account:{self.account}": ACCOUNT, f"net:{net}": NETWORK}

    @property
    def pair(self) -> str:
        """The key of this account from this network alone."""
        return next(iter(self.limits))


def network(client_address: str) -> str:
    """The network that counts as one client: an IPv4 address, an IPv6 /64."""
    found = client_network(client_address)
    if found is None:
        return "unknown"
    return str(found.network_address if found.version == 4 else found)


def verdict(attempt: Attempt, now: datetime) -> Verdict:
    """Whether one of the attempt's counters blocks it now; EXHAUSTED when a known network may not guess on either."""
    limits = attempt.limits
    rows = LoginThrottle.objects.using("reader").filter(key__in=limits, blocked_until__gt=now)
    found = rows.values_list("key", "failures", "blocked_until")
    failures = {key: count for key, count, until in found if holds(until, now, limits[key].longest)}
    failures |= _unwritten.blocking(attempt, now)
    if failures.get(attempt.pair, 0) > KNOWN_ALLOWED:
        return Verdict.EXHAUSTED
    return Verdict.BLOCKED if failures else Verdict.FREE


def record_failure(attempt: Attempt, now: datetime) -> float:
    """Counts a failure in the caller's transaction; returns how many seconds late it should be answered."""
    limits = attempt.limits
    # Sorted, so that two transactions that lock the same rows don't wait for each other.
    keys = sorted(limits)
    LoginThrottle.objects.bulk_create(
        [LoginThrottle(key=key, window_started_at=now) for key in keys], ignore_conflicts=True
    )
    rows = list(LoginThrottle.objects.select_for_update().filter(key__in=keys).order_by("key"))
    for row in rows:
        _count(row, limits[row.key], now)
    LoginThrottle.objects.bulk_update(rows, ["failures", "window_started_at", "blocked_until"])
    failures = next((row.failures for row in rows if row.key == attempt.pair), 1)
    return DELAY_SECONDS[min(failures, len(DELAY_SECONDS)) - 1]


def remember_failure(attempt: Attempt, now: datetime) -> float:
    """Counts a failure in this process alone, where the database can't be written; returns as `record_failure`."""
    return _unwritten.add(attempt, now)


def record_success(attempt: Attempt) -> None:
    """Forgets the pair's failures, in the caller's transaction."""
    _unwritten.forget([attempt.pair])
    LoginThrottle.objects.filter(key=attempt.pair).delete()


def lift(keys: list[str]) -> None:
    """Forgets these counters."""
    _unwritten.forget(keys)
    LoginThrottle.objects.filter(key__in=keys).delete()


def forget_account(key: str) -> None:
    """Forgets the failures of an account that is removed, in the caller's transaction."""
    LoginThrottle.objects.filter(Q(key=f"account:{key}") | Q(key__endswith=f" {key}")).delete()


def forget_domain(name: str) -> None:
    """The same for all accounts of a domain."""
    LoginThrottle.objects.filter(key__endswith=f"@{name}").delete()


def forget_old(now: datetime) -> int:
    """Deletes counters that no longer matter; returns how many. For the periodic work."""
    old = LoginThrottle.objects.filter(window_started_at__lt=now - timedelta(days=1))
    with transaction.atomic():
        return old.exclude(blocked_until__gt=now).delete()[0]


class Unwritten:
    """The counters of failures that could not be written: a full disk must not make guessing free."""

    def __init__(self) -> None:
        self._rows: Bounded[str, LoginThrottle] = Bounded(REMEMBERED_REPEATS)
        self._lock = threading.Lock()

    def add(self, attempt: Attempt, now: datetime) -> float:
        """Counts it; returns how many seconds late it should be answered: as long as any is."""
        with self._lock:
            for key, limit in attempt.limits.items():
                row = self._rows.get(key) or LoginThrottle(key=key, window_started_at=now)
                _count(row, limit, now)
                self._rows.put(key, row)
        return DELAY_SECONDS[-1]

    def blocking(self, attempt: Attempt, now: datetime) -> dict[str, int]:
        """The failures by key of those that block the attempt now."""
        if not self._rows:
            return {}
        limits = attempt.limits
        with self._lock:
            rows = [row for key in limits if (row := self._rows.get(key))]
        return {row.key: row.failures for row in rows if holds(row.blocked_until, now, limits[row.key].longest)}

    def forget(self, keys: Iterable[str] | None = None) -> None:
        """Forgets these, or all."""
        with self._lock:
            for key in list(self._rows) if keys is None else keys:
                self._rows.pop(key)


_unwritten = Unwritten()


class Repeats:
    """Which wrong passwords were tried lately, as keyed fingerprints of this process (rule 3)."""

    def __init__(self) -> None:
        self._seen: Bounded[bytes, tuple[datetime, int]] = Bounded(REMEMBERED_REPEATS)
        self._lock = threading.Lock()

    def is_repeat(self, fingerprint: bytes, now: datetime, repeats: int = REPEATS) -> bool:
        """Whether this failure is one that was counted already, and may be repeated so often."""
        with self._lock:
            since, times = self._seen.get(fingerprint) or (now, 0)
            if not within(since, now, PAIR.window):
                since, times = now, 0
            self._seen.put(fingerprint, (since, times + 1))
            return 0 < times <= repeats


def _count(row: LoginThrottle, limit: Limit, now: datetime) -> None:
    """A window begins anew with the first failure after it has passed and any block has ended."""
    ends = max(row.window_started_at + limit.window, row.blocked_until or row.window_started_at)
    # A block's end is the window's: without the grace an attacker would begin anew after every block.
    if now > ends + limit.window * bool(row.blocked_until) or row.window_started_at > now + SKEW:
        row.failures, row.window_started_at, row.blocked_until = 0, now, None
    row.failures += 1
    over = row.failures - limit.allowed
    if over > 0:
        row.blocked_until = now + min(limit.first * 2 ** min(over - 1, 20), limit.longest)
