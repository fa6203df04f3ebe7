"""How much mail of a mailbox is held in the queue: for the admin's pages of mailboxes and of alarms."""

from django.urls import reverse
from django.utils.html import format_html

from mailsuite.directory.models import Mailbox
from mailsuite.queue.models import QueuedMessage

# Why mail is held, as the queue shows it.
SENDER_SUSPENDED = "its sender is suspended"


def held_count(mailbox_id: int) -> int:
    """How many messages of the mailbox are held in the queue."""
    return QueuedMessage.objects.filter(sender_mailbox=mailbox_id, settled_at=None).exclude(held_at=None).count()


def held_mail(mailbox: Mailbox) -> str:
    """How much of its mail is held, as a link to that part of the queue."""
    count = held_count(mailbox.pk)
    if not count:
        return "nothing"
    url = reverse("admin:queue_queuedmessage_changelist", query={"state": "held", "q": mailbox.address})
    return format_html('<a class="ms-link" href="{}">{} {}</a>', url, count, "message" if count == 1 else "messages")
