"""Mail to postmaster@ and abuse@ that nobody reads: accepted (RFC 5321 §4.5.1), and held until somebody does.

It is never filed with a stranger. As soon as an administrator has a mailbox, or an alias or mailbox has the role's
name, it goes there by itself; administrators may also drop it, or have it bounce. What is kept is bounded by domain.
"""

from datetime import datetime

from django.db.models import Count, QuerySet, Sum

from mailsuite.queue import services
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.queue.own_mail import is_read
from mailsuite.store.operations import KEPT

MAX_MESSAGES, MAX_OCTETS = 200, 100 * 1024 * 1024
# Addresses that are looked at, and messages that are released, at a time.
ADDRESSES, AT_ONCE = 1000, 100


def is_full(domain_id: int | None) -> bool:
    """Whether no more is kept for the domain, or with None for the host itself."""
    held = _held(QueuedMessage.objects.using("reader")).filter(domain=domain_id)
    found = held.aggregate(messages=Count("pk"), octets=Sum("size_octets"))
    return found["messages"] >= MAX_MESSAGES or (found["octets"] or 0) >= MAX_OCTETS


def give(now: datetime) -> int:
    """Releases what somebody reads by now; returns how many messages. For the periodic work."""
    waiting = QueuedRecipient.objects.filter(settled_at=None, message__in=_held(QueuedMessage.objects.all()))
    paths = waiting.order_by("forward_path").values_list("forward_path", flat=True).distinct()[:ADDRESSES]
    read = [path for path in paths if is_read(path)]
    ids = waiting.filter(forward_path__in=read).order_by("message").values_list("message", flat=True).distinct()
    some = list(ids[:AT_ONCE]) if read else []
    return services.release(some) if some else 0


def _held(messages: QuerySet[QueuedMessage]) -> QuerySet[QueuedMessage]:
    return messages.filter(settled_at=None, held_at__isnull=False, hold_reason=KEPT)
