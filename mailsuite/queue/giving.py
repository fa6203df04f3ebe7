"""What was kept for the administrators (kept.py) goes to whoever reads it by now, and ends with a removed domain."""

from datetime import datetime

from mailsuite.directory.models import KEPT_REMOVED
from mailsuite.queue import services
from mailsuite.queue.kept import held, is_read
from mailsuite.queue.models import QueuedMessage, QueuedRecipient

# Addresses that are looked at, and messages that are released or dropped, at a time.
ADDRESSES, AT_ONCE = 1000, 100


def give(now: datetime) -> int:
    """Releases what somebody reads by now; returns how many messages. For the periodic work."""
    waiting = QueuedRecipient.objects.filter(settled_at=None, message__in=held(QueuedMessage.objects.all()))
    addresses = waiting.order_by("forward_path", "message__domain").values_list("forward_path", "message__domain")
    read = [one for one in addresses.distinct()[:ADDRESSES] if is_read(*one)]
    found: dict[int, None] = {}
    for path, domain_id in read:
        rows = waiting.filter(forward_path=path, message__domain=domain_id).order_by("message")
        found |= dict.fromkeys(rows.values_list("message", flat=True).distinct()[:AT_ONCE])
    some = list(found)[:AT_ONCE]
    return services.release(some) if some else 0


def end_with_domain(now: datetime) -> int:
    """Drops what was kept for domains that can't be restored any more; returns how many messages. For the periodic
    work."""
    gone = held(QueuedMessage.objects.all()).filter(domain__removed_at__lt=now - KEPT_REMOVED)
    some = list(gone.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return services.drop(some, "the removal of its domain") if some else 0
