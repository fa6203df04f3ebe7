"""Others' MTA-STS policies as they were fetched, kept for as long as they asked for (RFC 8461 §3.2, §10.2).

Services: plain values in and out, each one short transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from mailsuite.database.stored_time import lately, within
from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import Policy, PolicyError
from mailsuite.transport_security.models import KnownPolicy

# RFC 8461 §3.3: how long a fetch that failed is not tried again.
FAILURE_REST = timedelta(minutes=5)
# How old a policy grows before the background looks again, and how long nobody may have asked for it.
REFRESH_AFTER = timedelta(days=1)
UNUSED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept about a domain: `policy` is None when there is none to go by. `may_try` says that a fetch may be
    made, `failure` why the last one failed, "" when it did not; `is_use_forgotten` that use was not noted for a day."""

    policy: Policy | None
    policy_id: str
    may_try: bool
    failure: str = ""
    is_use_forgotten: bool = False


NOTHING = Known(None, "", may_try=True)


def find(domain: str, now: datetime) -> Known:
    """What is known of a domain's policy now."""
    row = KnownPolicy.objects.using("reader").filter(domain=domain).first()
    if row is None:
        return NOTHING
    policy = _policy(row) if row.expires_at and row.expires_at > now else None
    # A time ahead is of a clock that was wrong: it must not keep us from trying until then.
    rests = bool(row.failure) and within(row.tried_at, now, FAILURE_REST)
    forgotten = not now - REFRESH_AFTER <= row.used_at <= now
    return Known(policy, row.policy_id if policy else "", not rests, row.failure, forgotten)


def keep(domain: str, policy_id: str, policy: Policy, now: datetime, *, used: bool = True) -> None:
    """Keeps a policy that was fetched just now, for somebody's mail or, with `used=False`, in the background."""
    fetched = {
        "policy_id": policy_id,
        "policy": mtasts.render_policy(policy).decode(),
        "fetched_at": now,
        "expires_at": now + timedelta(seconds=policy.max_age),
        "tried_at": now,
        "failure": "",
    }
    defaults = fetched | ({"used_at": now} if used else {})
    KnownPolicy.objects.update_or_create(domain=domain, defaults=defaults, create_defaults=fetched | {"used_at": now})


def note_use(domain: str, now: datetime) -> None:
    """Notes that a policy is still asked for."""
    KnownPolicy.objects.filter(domain=domain).update(used_at=now)


def note_failure(domain: str, failure: str, now: datetime) -> None:
    """Notes a fetch that failed; a policy that is kept stays (§5.1)."""
    KnownPolicy.objects.update_or_create(
        domain=domain,
        defaults={"tried_at": now, "failure": failure[:300]},
        create_defaults={"tried_at": now, "used_at": now, "failure": failure[:300]},
    )


def to_refresh(now: datetime, limit: int) -> list[str]:
    """Domains whose policy is kept and has not been looked at for a day, or is about to run out."""
    live = KnownPolicy.objects.using("reader").exclude(policy="").filter(used_at__gt=now - UNUSED, expires_at__gt=now)
    old = live.filter(~lately("fetched_at", now, REFRESH_AFTER) | Q(expires_at__lt=now + REFRESH_AFTER))
    old = old.exclude(lately("tried_at", now, timedelta(hours=1)))
    return list(old.order_by("expires_at").values_list("domain", flat=True)[:limit])


def forget_old(now: datetime) -> int:
    """Forgets what has run out, and failures of yesterday; returns how many."""
    over = Q(expires_at__lt=now) | Q(expires_at=None, tried_at__lt=now - timedelta(days=1))
    return KnownPolicy.objects.filter(over).delete()[0]


def _policy(row: KnownPolicy) -> Policy | None:
    try:
        return mtasts.parse_policy(row.policy.encode())
    except PolicyError:
        return None
