"""What no row names any more: contents nobody holds, blobs of no content, spool files of sessions that died.

A blob is marked when it is older than a day and unnamed, looked at again in the transaction that forgets it, and
deleted a day after that: whatever is being filed meanwhile, and whatever a restored database still names, is safe. On a
disk that is nearly full minutes must do, which nothing takes to be filed: whoever deletes wants the room.
"""

from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db import transaction
from django.db.models import Exists, ForeignObjectRel, OuterRef, Q

from mailsuite.store.chores import do_chores
from mailsuite.store.departed import sweep_departed
from mailsuite.store.models import Content, OrphanBlob
from mailsuite.writer.storage import mail_storage

GRACE = timedelta(days=1)
PRESSED_GRACE = timedelta(minutes=5)
# Deliveries are refused when less than 256 MiB are left.
PRESSED_OCTETS = 512 * 1024 * 1024
SLICE = 500


def sweep(now: datetime, grace: timedelta = GRACE) -> int:
    """One round over everything, in short transactions; returns how many blobs were deleted."""
    do_chores(now)
    sweep_departed(now)
    forget_contents(now, grace)
    mark_orphans(now, grace)
    forget_orphans(now, grace)
    return delete_orphans(now, grace)


def sweep_if_pressed(now: datetime) -> int:
    """The same, where the disk is nearly full, without waiting for days."""
    return sweep(now, PRESSED_GRACE) if mail_storage().free_octets() < PRESSED_OCTETS else 0


def forget_contents(now: datetime, grace: timedelta = GRACE) -> int:
    """Deletes Content rows older than `grace` that no row of any app holds by a foreign key: how many."""
    held = Q()
    for relation in _holders():
        rows = relation.related_model._default_manager.filter(**{relation.field.name: OuterRef("pk")})
        held |= Q(Exists(rows))
    forgotten, last = 0, 0
    while True:
        ids = list(
            Content.objects.filter(pk__gt=last, received_at__lt=now - grace)
            .exclude(held)
            .order_by("pk")
            .values_list("pk", flat=True)[:SLICE]
        )
        if not ids:
            return forgotten
        last = ids[-1]
        with transaction.atomic():
            # A COPY may have come between: the row is locked, then looked at again.
            free = list(
                Content.objects.select_for_update().filter(pk__in=ids).exclude(held).values_list("pk", flat=True)
            )
            forgotten += Content.objects.filter(pk__in=free).delete()[0]


def _holders() -> list[ForeignObjectRel]:
    """The foreign keys that lead to a Content, those without a way back included."""
    fields = Content._meta.get_fields(include_hidden=True)
    return [field for field in fields if isinstance(field, ForeignObjectRel)]


def mark_orphans(now: datetime, grace: timedelta = GRACE) -> int:
    """Marks blobs older than `grace` that no Content names; returns how many are newly marked."""
    marked, old = 0, mail_storage().blobs_before(now - grace)
    while names := list(islice(old, SLICE)):
        known = set(OrphanBlob.objects.filter(name__in=names).values_list("name", flat=True))
        known |= _named(names)
        fresh = [OrphanBlob(name=name, marked_at=now) for name in names if name not in known]
        OrphanBlob.objects.bulk_create(fresh, ignore_conflicts=True)
        marked += len(fresh)
    return marked


def forget_orphans(now: datetime, grace: timedelta = GRACE) -> None:
    """Takes what was marked `grace` ago for free to go, if it is still unnamed."""
    due = OrphanBlob.objects.filter(forgotten_at=None, marked_at__lt=now - grace)
    while orphans := list(due[:SLICE]):
        with transaction.atomic():
            named = _named([orphan.name for orphan in orphans])
            OrphanBlob.objects.filter(name__in=named).delete()
            OrphanBlob.objects.filter(pk__in=[o.pk for o in orphans if o.name not in named]).update(forgotten_at=now)


def delete_orphans(now: datetime, grace: timedelta = GRACE) -> int:
    """Deletes blobs that were forgotten `grace` ago; returns how many."""
    deleted, storage = 0, mail_storage()
    due = OrphanBlob.objects.filter(forgotten_at__lt=now - grace)
    while orphans := list(due[:SLICE]):
        # A restored database may name it again.
        named = _named([orphan.name for orphan in orphans])
        unnamed = [orphan.name for orphan in orphans if orphan.name not in named]
        storage.discard(unnamed)
        deleted += len(unnamed)
        OrphanBlob.objects.filter(pk__in=[orphan.pk for orphan in orphans]).delete()
    storage.tidy(now - GRACE)
    return deleted


def sweep_spool() -> int:
    """Deletes spool files that nobody has written to for a day; returns how many."""
    old = list(mail_storage().spooled_before(datetime.now(UTC) - GRACE))
    mail_storage().discard_spooled(old)
    return len(old)


def _named(blobs: list[str]) -> set[str]:
    """Those of the blobs that a Content names."""
    return set(Content.objects.filter(blob__in=blobs).values_list("blob", flat=True))
