"""DKIM keys moved on through their stages: pending, published (seen in DNS), active, retired, revoked, deleted.

Only a key of a rotation takes over by itself, and only once the domain's own name servers have its record.
"""

from datetime import datetime, timedelta

from django.conf import settings

from mailsuite.directory.models import Domain
from mailsuite.errors import ChangeRefused
from mailsuite.records.models import DomainPolicy
from mailsuite.signing.keys import activate_key, start_rotation
from mailsuite.signing.models import DkimKey

# Mail on its way may still be checked by the old key; then the record says that the key is called back.
RETIRED_FOR = timedelta(days=7)
REVOKED_FOR = timedelta(days=30)
MONTH = timedelta(days=30.44)


def advance_keys(now: datetime) -> int:
    """Moves every key on that is due; returns how many."""
    return _take_over() + _revoke(now) + _delete(now) + _start_due(now)


def rotation_months(domain: Domain) -> int:
    """How many months a key of the domain signs; 0 when keys change by the button alone."""
    policy = DomainPolicy.objects.filter(domain=domain).first()
    chosen = policy.rotation_months if policy else None
    return settings.MAILSUITE.dkim_rotation_months if chosen is None else chosen


def _take_over() -> int:
    keys = DkimKey.objects.filter(state=DkimKey.State.PUBLISHED, takes_over=True)
    for key in keys:
        activate_key(key.pk)
    return len(keys)


def _revoke(now: datetime) -> int:
    """A revoked key's private half is forgotten: nothing is to be signed with it ever again."""
    old = DkimKey.objects.filter(state=DkimKey.State.RETIRED, retired_at__lt=now - RETIRED_FOR)
    return old.update(state=DkimKey.State.REVOKED, private_key="")


def _delete(now: datetime) -> int:
    old = DkimKey.objects.filter(state=DkimKey.State.REVOKED, retired_at__lt=now - RETIRED_FOR - REVOKED_FOR)
    return old.delete()[0]


def _start_due(now: datetime) -> int:
    started = 0
    keys = DkimKey.objects.filter(state=DkimKey.State.ACTIVE, domain__state=Domain.State.ACTIVE)
    for key in keys.select_related("domain"):
        months = rotation_months(key.domain)
        if months and key.activated_at and now - key.activated_at > months * MONTH:
            try:
                start_rotation(key.domain_id, key.algorithm)
            except ChangeRefused:
                continue  # One waits already.
            started += 1
    return started
