"""What forms did before there was one history of all: Django's log of the admin had it."""

from datetime import timedelta

from django.contrib.admin.models import DELETION, LogEntry
from django.db import migrations
from django.utils import timezone

SLICE = 1000
# As long as the history keeps anything.
KEPT = timedelta(days=730)


def take_over(apps, schema_editor):
    Change = apps.get_model("directory", "Change")
    entries = apps.get_model("admin", "LogEntry").objects.filter(action_time__gt=timezone.now() - KEPT)
    rows = []
    for entry in entries.exclude(content_type=None).select_related("content_type", "user").order_by("pk").iterator():
        what = "Deleted." if entry.action_flag == DELETION else in_words(entry)
        rows.append(
            Change(
                at=entry.action_time,
                by=entry.user.email[:320],
                model=f"{entry.content_type.app_label}.{entry.content_type.model}"[:100],
                object_id=(entry.object_id or "")[:64],
                object_text=entry.object_repr[:320],
                what=" ".join(what.split())[:1000],
            )
        )
        if len(rows) == SLICE:
            Change.objects.bulk_create(rows)
            rows = []
    Change.objects.bulk_create(rows)


def in_words(entry):
    """A log's message is JSON, or text where an older Django wrote it."""
    try:
        return str(LogEntry(action_flag=entry.action_flag, change_message=entry.change_message).get_change_message())
    except (ValueError, KeyError, TypeError, AttributeError):
        return entry.change_message


class Migration(migrations.Migration):
    dependencies = [
        ("directory", "0011_history_of_changes"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [migrations.RunPython(take_over, migrations.RunPython.noop)]
