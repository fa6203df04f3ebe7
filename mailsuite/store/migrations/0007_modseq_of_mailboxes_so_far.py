"""A mailbox's mod-sequence begins where the furthest of its folders is, so that it grows in all of them."""

from django.db import migrations
from django.db.models import Max
from django.db.models.functions import Greatest

SLICE = 500


def begin(apps, schema_editor):
    """In slices, each by itself: run again after it was killed, it comes to the same."""
    database = schema_editor.connection.alias
    usage = apps.get_model("store", "Usage").objects.using(database)
    folders = apps.get_model("store", "Folder").objects.using(database)
    last = 0
    while ids := list(usage.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:SLICE]):
        last = ids[-1]
        furthest = folders.filter(mailbox__in=ids).values_list("mailbox").annotate(Max("highest_modseq"))
        for mailbox_id, modseq in furthest:
            usage.filter(pk=mailbox_id).update(highest_modseq=Greatest("highest_modseq", modseq))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("store", "0006_mailbox_wide_modseq")]

    operations = [migrations.RunPython(begin, migrations.RunPython.noop, elidable=True)]
