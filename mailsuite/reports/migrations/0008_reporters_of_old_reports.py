from django.db import migrations
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce


def note_reporters(apps, schema_editor):
    """Who sent a report that counts was proved then too: the same report must not count again under that name."""
    incoming = apps.get_model("reports", "IncomingReport").objects.filter(pk=OuterRef("incoming"))
    for name in ("DmarcReport", "TlsReport"):
        reports = apps.get_model("reports", name).objects.filter(is_verified=True, incoming__isnull=False)
        reports.update(reporter=Coalesce(Subquery(incoming.values("sender_domain")[:1]), Value("")))


class Migration(migrations.Migration):
    dependencies = [("reports", "0007_reports_that_count")]
    operations = [migrations.RunPython(note_reporters, migrations.RunPython.noop)]
