"""What is left to be done when nobody waits for it: copies that came to nothing are undone, rows of deleted folders go.

Done by the store service between batches, a slice at a time; by the sweep where no service runs.
"""

from datetime import datetime
from typing import Any

from mailsuite.store.copies import REMEMBERED
from mailsuite.store.models import Folder, PartialCopy
from mailsuite.store.operations import PurgeFolder, UndoCopy
from mailsuite.writer.operation import ROWS_AT_ONCE
from mailsuite.writer.run import Job, run_jobs


def next_chore(now: datetime) -> Any:
    """Return the operation that is to be done next; None when there is nothing."""
    copy = PartialCopy.objects.filter(completed_at=None, expires_at__lte=now).order_by("pk").first()
    if copy is not None:
        return UndoCopy(copy.mailbox_id, copy.pk)
    folder_id = Folder.objects.exclude(removed_at=None).order_by("pk").values_list("pk", flat=True).first()
    return None if folder_id is None else PurgeFolder(folder_id)


def do_chores(now: datetime) -> None:
    """Does all that there is to do, as far as it can be done."""
    while (operation := next_chore(now)) is not None:
        job = Job(operation)
        run_jobs([job])
        if job.error is not None:
            raise job.error
    forget_copies(now)


def forget_copies(now: datetime) -> None:
    """Forgets copies that were completed long ago."""
    old = PartialCopy.objects.filter(completed_at__lt=now - REMEMBERED).values("pk")[:ROWS_AT_ONCE]
    PartialCopy.objects.filter(pk__in=old).delete()
