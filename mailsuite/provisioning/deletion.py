"""What was marked as removed (mailboxes, domains, aliases, accounts): deleted with all it holds, in slices, once it
can't be restored any more."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet

from mailsuite.directory.models import KEPT_REMOVED, Alias, AliasTarget, Domain, Mailbox, User
from mailsuite.directory.version import touch_directory
from mailsuite.signing.models import DkimKey
from mailsuite.store.models import DepartedMessage, Folder, Message, Tombstone, Usage

# Somebody may be restoring at the last moment: no deletion begins while that could still be.
KEEP = KEPT_REMOVED + timedelta(hours=1)
SLICE = 500


def remove_marked(now: datetime) -> int:
    """Deletes what was marked KEEP ago; returns how many mailboxes and domains. Contents go with the next sweep."""
    removed, before = 0, now - KEEP
    AliasTarget.objects.filter(removed_at__lt=before).delete()
    Alias.objects.filter(removed_at__lt=before).delete()
    for mailbox in Mailbox.objects.filter(state=Mailbox.State.REMOVED, removed_at__lt=before):
        _empty(mailbox)
        with transaction.atomic():
            Usage.objects.filter(mailbox=mailbox).delete()
            mailbox.delete()
            touch_directory()
        removed += 1
    User.objects.filter(removed_at__lt=before, mailboxes=None).delete()
    marked = Domain.objects.filter(state=Domain.State.REMOVED, removed_at__lt=before)
    # A domain's other names go before it.
    for domain in marked.order_by(F("alias_of").asc(nulls_last=True)):
        if domain.mailboxes.exists() or domain.domain_aliases.exists():
            continue
        with transaction.atomic():
            Alias.objects.filter(domain=domain).delete()
            DkimKey.objects.filter(domain=domain).delete()
            domain.delete()
            touch_directory()
        removed += 1
    return removed


def _empty(mailbox: Mailbox) -> None:
    """Deletes what could be many rows, some at a time; the rest cascades. Messages are found by their folders: their
    own mailbox column has no index."""
    _in_slices(Message.objects.filter(folder__mailbox=mailbox))
    _in_slices(DepartedMessage.objects.filter(mailbox=mailbox))
    _in_slices(Tombstone.objects.filter(folder__mailbox=mailbox))
    _in_slices(Folder.objects.filter(mailbox=mailbox))


def _in_slices(rows: "QuerySet[Any]") -> None:
    while ids := list(rows.values_list("pk", flat=True)[:SLICE]):
        with transaction.atomic():
            rows.model._default_manager.filter(pk__in=ids).delete()
