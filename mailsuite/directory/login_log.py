"""The log of logins, kept so that neither an attack nor a busy client fills it or waits for the disk.

Equal attempts are one row a minute with a count. Successes and refusals that needed no hashing are gathered in this
process and written at most once a minute each: what was gathered last may be lost when the process dies.
"""

import threading
import time
from collections import OrderedDict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from mailsuite.directory.accounts import Account
from mailsuite.directory.models import Credential, Login
from mailsuite.directory.throttle import KNOWN_GOOD, Attempt, network

MINUTE = timedelta(minutes=1)
GATHERED = 10_000
KNOWN_ADDRESSES = 500

Key = tuple[int | None, str, str, str, str]


class _Gathering:
    """How often each key came up since it was last written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[Key, tuple[float, int]] = OrderedDict()

    def take(self, key: Key) -> int:
        """How many to write now; 0 when the last writing was less than a minute ago."""
        now = time.monotonic()
        with self._lock:
            written_at, count = self._counts.pop(key, (None, 0))
            due = written_at is None or now - written_at >= MINUTE.total_seconds()
            self._counts[key] = (now, 0) if due or written_at is None else (written_at, count + 1)
            while len(self._counts) > GATHERED:
                self._counts.popitem(last=False)
            return count + 1 if due else 0

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()


_gathering = _Gathering()


def record_success(user_id: int, attempt: Attempt, protocol: str, credential_id: int | None, now: datetime) -> None:
    times = _gathering.take((user_id, attempt.account, protocol, attempt.client_address, ""))
    if not times:
        return
    with transaction.atomic():
        if credential_id is not None:
            Credential.objects.filter(pk=credential_id).update(last_used_at=now)
        _write(user_id, attempt, protocol, "", now, times)


def record_refusal(attempt: Attempt, protocol: str, reason: str, now: datetime) -> None:
    """What was refused without hashing."""
    if times := _gathering.take((None, attempt.account, protocol, attempt.client_address, reason)):
        with transaction.atomic():
            _write(None, attempt, protocol, reason, now, times)


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
    _gathering.clear()


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
