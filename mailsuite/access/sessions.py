"""Sessions of the web, which Django keeps in a table and never takes out again."""

from datetime import datetime

from django.contrib.sessions.models import Session
from django.db import transaction


def forget_ended(now: datetime) -> int:
    """Deletes sessions that have ended; returns how many. For the periodic work."""
    with transaction.atomic():
        return Session.objects.filter(expire_date__lt=now).delete()[0]
