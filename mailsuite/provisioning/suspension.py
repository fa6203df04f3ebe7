"""A mailbox stopped at one stroke when its password may be in foreign hands, and what becomes of its mail afterwards.

Suspending refuses its logins, ends its sessions and holds all that it has in the queue; what a session still brings
before it ends is held by the store (mailsuite.abuse.sending). Held mail stays held when the
mailbox is resumed: somebody looks at it and either sends it or drops it, as a whole here or one by one in the queue.
"""

from collections.abc import Callable, Collection
from contextlib import suppress

from django.db import transaction
from django.db.models import QuerySet

from mailsuite.database.sql import slices
from mailsuite.directory import parsing
from mailsuite.directory.models import Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import services
from mailsuite.queue import services as queue
from mailsuite.queue.held_mail import SENDER_SUSPENDED, held_count
from mailsuite.queue.models import QueuedMessage


def suspend(address: str) -> int:
    """Suspends the mailbox and holds what it has in the queue, in one transaction; returns how many messages are held,
    with those that were before, over a cap say."""
    with transaction.atomic():
        services.suspend_mailbox(address)
        mailbox_id = parsing.live_mailbox(address).pk
        _each(_queued(mailbox_id).filter(held_at=None), lambda ids: queue.hold(ids, SENDER_SUSPENDED))
        return held_count(mailbox_id)


def still_open(mailbox_id: int) -> str:
    """A sentence about the account's other mailboxes, which its password opens as before; "" when there is none."""
    user = Mailbox.objects.filter(pk=mailbox_id).values("user")
    count = Mailbox.objects.filter(user__in=user, state=Mailbox.State.ACTIVE).exclude(pk=mailbox_id).count()
    return f" Its account's password still opens other mailboxes ({count}): set a new one." if count else ""


def release_held(address: str) -> int:
    """Lets the mailbox's held mail go on; returns how many messages."""
    with transaction.atomic():
        return _each(_held(parsing.live_mailbox(address).pk), queue.release)


def drop_held(address: str, by: str) -> int:
    """Gives up on the mailbox's held mail and tells nobody but the stories; returns how many messages."""
    with transaction.atomic():
        return _each(_held(parsing.live_mailbox(address).pk), lambda ids: queue.drop(ids, by))


def _queued(mailbox_id: int) -> QuerySet[QueuedMessage]:
    return QueuedMessage.objects.filter(sender_mailbox=mailbox_id, settled_at=None)


def _held(mailbox_id: int) -> QuerySet[QueuedMessage]:
    return _queued(mailbox_id).exclude(held_at=None)


def _each(messages: QuerySet[QueuedMessage], do: Callable[[Collection[int]], int]) -> int:
    """Does it to all of them, in one order for everybody, and no more at a time than a query takes."""
    count = 0
    for ids in slices(list(messages.order_by("pk").values_list("pk", flat=True))):
        # What was settled meanwhile, or is being tried at this moment, is no reason to leave the rest.
        with suppress(ChangeRefused):
            count += do(ids)
    return count
