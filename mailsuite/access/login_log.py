"""The log of logins, kept so that neither an attack nor a busy client fills it or waits for the disk.

Equal attempts are one row a minute with a count. Successes and refusals that needed no hashing are gathered in this
process and written at most once a minute each: what was gathered last may be lost when the process dies. A login is
what it is whether or not it can be written down: where the disk is full or another holds the database, it is gathered
as well, and nobody waits for more than a moment.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import F

from mailsuite.access.accounts import Account
from mailsuite.access.throttle import KNOWN_GOOD, Attempt, network
from mailsuite.bounded import Bounded
from mailsuite.database.patience import brief_transaction
from mailsuite.database.threads import drop_broken
from mailsuite.directory import account_events
from mailsuite.directory.models import Credential, Login

MINUTE = timedelta(minutes=1)
GATHERED = 10_000
KNOWN_ADDRESSES = 500
# After the log could not be written nobody tries for so long: each trial may cost a login a moment.
REST_SECONDS = 10.0

logger = logging.getLogger(__name__)
Key = tuple[int | None, str, str, str, str]


class _Gathering:
    """How often each key came up since it was last written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Bounded[Key, tuple[float, int]] = Bounded(GATHERED)

    def take(self, key: Key) -> int:
        """How many to write now; 0 when the last writing was less than a minute ago."""
        now = time.monotonic()
        with self._lock:
            written_at, count = self._counts.get(key) or (None, 0)
            due = written_at is None or now - written_at >= MINUTE.total_seconds()
            self._counts.put(key, (now, 0) if due or written_at is None else (written_at, count + 1))
            return count + 1 if due else 0

    def give_back(self, key: Key, times: int) -> None:
        """These could not be written: they are due the next time."""
        with self._lock:
            _, count = self._counts.get(key) or (None, 0)
            self._counts.put(key, (time.monotonic() - MINUTE.total_seconds(), count + times))

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()


_gathering = _Gathering()
_rests_until = 0.0


def record_success(user_id: int, attempt: Attempt, protocol: str, credential_id: int | None, now: datetime) -> None:
    """A login that was let in; written at most once a minute for equal ones. Its app password was used then, and its
    network is known from then on."""

    def write(times: int) -> None:
        if credential_id is not None:
            Credential.objects.filter(pk=credential_id).update(last_used_at=now)
        _write(user_id, attempt, protocol, "", now, times)
        account_events.signed_in(user_id, protocol, attempt.client_address, credential_id, now)

    _gather((user_id, attempt.account, protocol, attempt.client_address, ""), write)


def record_refusal(attempt: Attempt, protocol: str, reason: str, now: datetime) -> None:
    """What was refused without hashing."""
    key = (None, attempt.account, protocol, attempt.client_address, reason)
    _gather(key, lambda times: _write(None, attempt, protocol, reason, now, times))


def record_failure(account: Account | None, attempt: Attempt, protocol: str, reason: str, now: datetime) -> None:
    """A wrong password, in the caller's transaction."""
    _write(account.user_id if account else None, attempt, protocol, reason, now, 1)


def is_known_good(user_id: int, client_address: str, now: datetime) -> bool:
    """Whether the account was signed in to from the client's network lately."""
    logins = Login.objects.using("reader").filter(user_id=user_id, succeeded=True, at__gt=now - KNOWN_GOOD)
    addresses = logins.order_by().values_list("client_address", flat=True).distinct()[:KNOWN_ADDRESSES]
    return network(client_address) in {network(address) for address in addresses}


def forget_old(now: datetime, keep: timedelta = timedelta(days=90)) -> int:
    """Deletes old rows; returns how many. For the periodic work."""
    with transaction.atomic():
        return Login.objects.filter(at__lt=now - keep).delete()[0]


def forget_gathered() -> None:
    """Forgets what this process has gathered and not written."""
    global _rests_until
    _rests_until = 0.0
    _gathering.clear()
    account_events.forget_recent()


def try_to_write(write: Callable[[], None]) -> bool:
    """Runs `write` in a short transaction, unless one failed just now; returns whether it is written."""
    global _rests_until
    if time.monotonic() < _rests_until:
        return False
    try:
        with brief_transaction():
            write()
    except DatabaseError as error:
        _rests_until = time.monotonic() + REST_SECONDS
        logger.warning("logins can't be written down now: %s", error)
        drop_broken()
        return False
    return True


def _gather(key: Key, write: Callable[[int], None]) -> None:
    times = _gathering.take(key)
    if times and not try_to_write(lambda: write(times)):
        _gathering.give_back(key, times)


def _write(user_id: int | None, attempt: Attempt, protocol: str, reason: str, now: datetime, times: int) -> None:
    same = {
        "user_id": user_id,
        "address_key": attempt.account[:320],
        "protocol": protocol,
        "client_address": attempt.client_address[:45],
        "succeeded": not reason,
        "reason": reason,
    }
    recent = Login.objects.filter(at__gt=now - MINUTE, at__lte=now, **same).order_by("-at").values("pk")[:1]
    if not Login.objects.filter(pk__in=list(recent.values_list("pk", flat=True))).update(times=F("times") + times):
        Login.objects.create(at=now, times=times, **same)
