"""What is forgotten in time: settled queue rows with their attempts, stories with their events. In slices."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from mailsuite.ids import first_id
from mailsuite.queue.models import QueuedMessage
from mailsuite.trace.models import Event, RefusalCount, Story, StoryRecipient

QUEUE_DAYS = 14
SLICE = 500


def forget_settled(now: datetime) -> int:
    """Deletes messages that were settled QUEUE_DAYS ago; returns how many."""
    old = QueuedMessage.objects.filter(settled_at__lt=now - timedelta(days=QUEUE_DAYS))
    forgotten = 0
    while ids := list(old.values_list("pk", flat=True)[:SLICE]):
        with transaction.atomic():
            QueuedMessage.objects.filter(pk__in=ids).delete()
        forgotten += len(ids)
    return forgotten


def forget_stories(now: datetime) -> int:
    """Deletes stories begun MAILSUITE_TRACE_DAYS ago, except of mail that still waits; returns how many. Ids ascend
    with time, so none but the primary key's index is needed."""
    oldest = now - timedelta(days=settings.MAILSUITE.trace_days)
    last = first_id(oldest)
    waiting = QueuedMessage.objects.filter(settled_at=None).exclude(story_id=None).values("story_id")
    old = Story.objects.filter(pk__lt=last).exclude(pk__in=waiting).order_by("pk")
    forgotten = 0
    while ids := list(old.values_list("pk", flat=True)[:SLICE]):
        with transaction.atomic():
            Event.objects.filter(story_id__in=ids).delete()
            StoryRecipient.objects.filter(story_id__in=ids).delete()
            Story.objects.filter(pk__in=ids).delete()
        forgotten += len(ids)
    RefusalCount.objects.filter(minute__lt=oldest).delete()
    return forgotten
