"""Mail to postmaster@ and abuse@ that nobody reads: accepted (RFC 5321 §4.5.1), and held until somebody does.

It is never filed with a stranger, nor with whoever hosts a domain of that name later. As soon as an administrator has a
mailbox, or an alias or mailbox has the role's name, it goes there by itself (giving.py); administrators may also drop
it, or have it bounce. What is kept is bounded by domain.
"""

from django.db.models import Count, QuerySet, Sum

from mailsuite.directory import lookup
from mailsuite.directory.models import Domain
from mailsuite.directory.resolution import Kind
from mailsuite.queue.models import QueuedMessage
from mailsuite.store.operations import KEPT

MAX_MESSAGES, MAX_OCTETS = 200, 100 * 1024 * 1024


def is_full(domain_id: int | None) -> bool:
    """Whether no more is kept for the domain, or with None for the host itself."""
    found = held(QueuedMessage.objects.using("reader")).filter(domain=domain_id)
    sums = found.aggregate(messages=Count("pk"), octets=Sum("size_octets"))
    return sums["messages"] >= MAX_MESSAGES or (sums["octets"] or 0) >= MAX_OCTETS


def is_read(address: str, domain_id: int | None) -> bool:
    """Whether somebody reads mail to an address, for which it was kept when nobody did. Nobody does while the domain
    that it came to is removed: one that is hosted anew is another's."""
    if Domain.objects.filter(pk=domain_id or 0, state=Domain.State.REMOVED).exists():
        return False
    resolution = lookup.resolve(address)
    return resolution.kind is Kind.RESOLVED and all(one.address != address for one in resolution.kept)


def held(messages: QuerySet[QueuedMessage]) -> QuerySet[QueuedMessage]:
    """Those of the messages that are kept."""
    return messages.filter(settled_at=None, held_at__isnull=False, hold_reason=KEPT)
