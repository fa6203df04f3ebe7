"""A COPY of many messages, in slices that let others have their turn with the writer, and still all or nothing
(RFC 3501 §6.4.7).

Its octets are taken from the quota before the first slice. Each slice is a transaction, which notes its uids in the
same PartialCopy; the last step completes it, and from then on everything stays. Whatever goes wrong before that, a
refusal, a client that is gone, a crash, leaves a PartialCopy that is not completed: what it names is removed, by who
copied if that is still there, else by the store service. Other sessions see copies come as they see deliveries come,
and go as they see an expunge.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from mailsuite.store import expunging
from mailsuite.store.locked import locked
from mailsuite.store.models import PartialCopy
from mailsuite.store.operations import BeginCopy, Copy, EndCopy, ReopenCopy, UndoCopy
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import ROWS_AT_ONCE, Refused

# A copy for which no slice came for so long is given up: nobody is at it any more.
COPY_SECONDS = 60
# A completed one is remembered, in case its end is asked for again because the answer was lost.
REMEMBERED = timedelta(hours=1)
# When to look again whether a removed mailbox is back.
REMOVED_AGAIN_AFTER = timedelta(hours=1)


def begin(batch: Batch, op: BeginCopy) -> None:
    locked(batch).folder(op.mailbox_id, op.target_id)
    if PartialCopy.objects.filter(pk=op.copy_id).exists():
        return  # asked again
    if op.quota_octets and locked(batch).usage[op.mailbox_id].used_octets + op.octets > op.quota_octets:
        raise Refused("over-quota", "the mailbox is full")
    locked(batch).reserve(op.mailbox_id, op.octets)
    PartialCopy.objects.create(
        pk=op.copy_id,
        mailbox_id=op.mailbox_id,
        target_id=op.target_id,
        reserved_octets=op.octets,
        expires_at=batch.now + timedelta(seconds=COPY_SECONDS),
    )


def note_slice(batch: Batch, op: Copy, octets: int, first_uid: int, count: int) -> None:
    """Notes what the slice is about to make in the target; its octets are taken from those reserved. Raises Refused."""
    copy = _open(batch, op.mailbox_id, op.copy_id)
    if copy.completed_at is not None or copy.target_id != op.target_id:
        raise Refused("cannot", "the copy is over")
    taken = min(copy.reserved_octets, octets)
    locked(batch).reserve(op.mailbox_id, -taken)
    copy.reserved_octets -= taken
    copy.uids = _joined(copy.uids, first_uid, count)
    copy.expires_at = batch.now + timedelta(seconds=COPY_SECONDS)
    copy.save(update_fields=["reserved_octets", "uids", "expires_at"])


def end(batch: Batch, op: EndCopy) -> None:
    copy = _open(batch, op.mailbox_id, op.copy_id)
    if copy.completed_at is None:
        # What is left was for messages that somebody removed meanwhile.
        locked(batch).reserve(op.mailbox_id, -copy.reserved_octets)
        PartialCopy.objects.filter(pk=copy.pk).update(completed_at=batch.now, reserved_octets=0)


def undo(batch: Batch, op: UndoCopy) -> bool:
    """Whether more is left to be removed."""
    copy = PartialCopy.objects.filter(pk=op.copy_id, mailbox_id=op.mailbox_id, completed_at=None).first()
    if copy is None:
        return False
    if op.mailbox_id not in locked(batch).usage:  # removed; if it is brought back, so is this
        PartialCopy.objects.filter(pk=copy.pk).update(expires_at=batch.now + REMOVED_AGAIN_AFTER)
        return False
    locked(batch).reserve(op.mailbox_id, -copy.reserved_octets)
    copy.reserved_octets, copy.expires_at = 0, min(copy.expires_at, batch.now)
    uids, copy.uids = _taken(copy.uids, ROWS_AT_ONCE)
    folder = locked(batch).folders.get(copy.target_id)
    if folder is not None and uids:
        expunging.remove(batch, folder, locked(batch).messages(folder.id, uids, expunging.REMOVED))
    if not copy.uids:
        copy.delete()
        return False
    copy.save(update_fields=["reserved_octets", "expires_at", "uids"])
    return True


def reopen(batch: Batch, op: EndCopy | ReopenCopy) -> None:
    """Takes the end back, which came too late for its asker: all is undone."""
    copy = PartialCopy.objects.filter(pk=op.copy_id, mailbox_id=op.mailbox_id)
    copy.update(completed_at=None, expires_at=batch.now)


def expire_if_alone() -> None:
    """`expire_all` where the service that starts is the only one of this database: whoever asked the one before has
    heard that it went away."""
    if connection.vendor == "sqlite":
        expire_all()


def expire_all() -> None:
    """Gives up what was under way."""
    PartialCopy.objects.filter(completed_at=None).update(expires_at=timezone.now())


def _open(batch: Batch, mailbox_id: int, copy_id: int) -> PartialCopy:
    copy = PartialCopy.objects.filter(pk=copy_id, mailbox_id=mailbox_id).first()
    if (
        copy is None
        or mailbox_id not in locked(batch).usage
        or (copy.completed_at is None and copy.expires_at <= batch.now)
    ):
        raise Refused("cannot", "the copy was given up")
    return copy


def _joined(uids: str, first: int, count: int) -> str:
    if not count:
        return uids
    before, _, last_range = uids.rpartition(",")
    begin, _, end = last_range.partition(":")
    if end and int(end) == first - 1:
        return f"{before}{',' if before else ''}{begin}:{first + count - 1}"
    return f"{uids}{',' if uids else ''}{first}:{first + count - 1}"


def _taken(uids: str, count: int) -> tuple[list[int], str]:
    """The first so many of the uids, and the others."""
    some: list[int] = []
    rest = ""
    for first, end in _ranges(uids):
        cut = min(end, first + count - len(some))
        some += range(first, cut)
        rest = _joined(rest, cut, end - cut)
    return some, rest


def _ranges(uids: str) -> Iterator[tuple[int, int]]:
    for one in filter(None, uids.split(",")):
        first, _, last = one.partition(":")
        yield int(first), int(last) + 1
