from django.db import migrations


def make_row(apps, schema_editor):
    apps.get_model("directory", "DirectoryVersion").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("directory", "0001_initial")]
    operations = [migrations.RunPython(make_row, migrations.RunPython.noop)]
