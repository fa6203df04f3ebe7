"""What happens to an account that its owner is told of by mail: a new password or app password, mail that goes
elsewhere from now on, a sign-in from a network that the account was never seen in. Written in the transaction of what
happened, told by mailsuite.abuse.account_mail.

A network is an IPv4 /24 or an IPv6 /48, which one holder may have whole: telephones and homes move about within them.
In an account's first LEARNING its networks are learned without a word. Programs that roam are told of a few times in a
month, sign-ins to the web, where an account can be taken over, each time; what a thief does can't crowd that out.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from mailsuite.bounded import Bounded
from mailsuite.database.stored_time import lately, within
from mailsuite.directory.models import AccountEvent, Credential, KnownNetwork
from mailsuite.mail.client_network import Reach, client_ip, network_around

LEARNING = timedelta(days=7)
MONTH = timedelta(days=30)
MOST_ROAMING = 5
# Of an account in a day: more is somebody who tries to fill the table, and was told of long before.
MOST_A_DAY = 100
KEPT = timedelta(days=90)
SEEN_AGAIN_AFTER = timedelta(days=1)
REMEMBERED = 10_000

OWNER = "you"
ADMINISTRATOR = "an administrator"


class _Recent:
    """Networks that were noted lately, so that a busy program costs no query."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: Bounded[tuple[int, str], datetime] = Bounded(REMEMBERED)

    def has(self, key: tuple[int, str], now: datetime) -> bool:
        with self._lock:
            noted_at = self._noted.get(key)
        return within(noted_at, now, SEEN_AGAIN_AFTER)

    def add(self, key: tuple[int, str], now: datetime) -> None:
        with self._lock:
            self._noted.put(key, now)

    def clear(self) -> None:
        with self._lock:
            self._noted.clear()


_recent = _Recent()


def password_changed(user_id: int, by: str, client_address: str = "") -> None:
    """The account has another password; `by` is OWNER, ADMINISTRATOR or whoever did it, in the mail's words."""
    _write(AccountEvent.Kind.PASSWORD, user_id, timezone.now(), by=by, client_address=client_address)


def password_was_saved(sender: Any, user_id: int, **more: Any) -> None:
    """The same, heard by a signal: whoever can save accounts so is an administrator."""
    password_changed(user_id, ADMINISTRATOR)


def app_password_made(user_id: int, label: str, scopes: str, by: str, client_address: str = "") -> None:
    """The account has an app password more, of that label, for those protocols."""
    what = f"“{label}” (for {', '.join(scopes.upper().split())})"
    kind = AccountEvent.Kind.APP_PASSWORD
    _write(kind, user_id, timezone.now(), what=what, by=by, client_address=client_address)


def forwarded(user_id: int, address: str, targets: Sequence[str], by: str, *, keeps: bool) -> None:
    """Whoever has got into a mailbox has its mail sent on: what comes then is read for months."""
    shown = ", ".join(targets[:3]) + (f" and {len(targets) - 3} more" if len(targets) > 3 else "")
    what = f"mail to {address} goes on to {shown}{'' if keeps else ', and none is kept'}"
    _write(AccountEvent.Kind.DELIVERY, user_id, timezone.now(), what=what, by=by)


def renamed(user_id: int, old: str, new: str, by: str) -> None:
    """The mailbox of the account has another address."""
    _write(AccountEvent.Kind.DELIVERY, user_id, timezone.now(), what=f"the mailbox {old} is {new} now", by=by)


def signed_in(user_id: int, protocol: str, client_address: str, credential_id: int | None, now: datetime) -> None:
    """Notes the client's network, in the caller's transaction, and that it is a new one. Programs of this machine are
    in no network."""
    address, network = client_ip(client_address), network_around(client_address, Reach.HOLDER)
    if address is None or network is None or address.is_loopback:
        return
    key = (user_id, str(network))
    if _recent.has(key, now):
        return
    transaction.on_commit(lambda: _recent.add(key, now))
    known = KnownNetwork.objects.filter(user=user_id)
    if known.filter(network=key[1]).update(last_seen_at=now):
        return
    first_seen_at = known.order_by("first_seen_at").values_list("first_seen_at", flat=True).first()
    row = KnownNetwork(user_id=user_id, network=key[1], first_seen_at=now, last_seen_at=now)
    KnownNetwork.objects.bulk_create([row], ignore_conflicts=True)
    if (
        first_seen_at is not None
        and not within(first_seen_at, now, LEARNING)
        and _is_worth_telling(user_id, protocol, now)
    ):
        what = f"{key[1]}, {_way(protocol, credential_id)}"
        _write(AccountEvent.Kind.SIGN_IN, user_id, now, what=what, client_address=client_address)


def forget_old(now: datetime) -> int:
    """Deletes networks that nobody came from for long, and events that were told; returns how many. For the periodic
    work."""
    with transaction.atomic():
        networks = KnownNetwork.objects.filter(last_seen_at__lt=now - KEPT).delete()[0]
        return networks + AccountEvent.objects.filter(told_at__lt=now - KEPT).delete()[0]


def forget_recent() -> None:
    """Forgets what this process has noted lately."""
    _recent.clear()


def _is_worth_telling(user_id: int, protocol: str, now: datetime) -> bool:
    if protocol == "web":
        return True
    told = AccountEvent.objects.filter(lately("at", now, MONTH), user=user_id, kind=AccountEvent.Kind.SIGN_IN)
    return told.count() < MOST_ROAMING


def _way(protocol: str, credential_id: int | None) -> str:
    if protocol == "web":
        return "on the web pages"
    found = Credential.objects.filter(pk=credential_id or 0).values_list("label", flat=True).first()
    return f"by {protocol.upper()} with {f'the app password “{found}”' if found else 'the password'}"


def _write(
    kind: AccountEvent.Kind, user_id: int, at: datetime, *, what: str = "", by: str = "", client_address: str = ""
) -> None:
    today = AccountEvent.objects.filter(lately("at", at, timedelta(days=1)), user=user_id)
    if today.count() < MOST_A_DAY:
        AccountEvent.objects.create(
            user_id=user_id,
            kind=kind,
            at=at,
            # One line, whatever somebody called an app password.
            what=" ".join(what.split())[:1000],
            by=by[:320],
            client_address=client_address[:45],
        )
