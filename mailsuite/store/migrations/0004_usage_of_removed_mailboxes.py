from django.db import migrations


def mark(apps, schema_editor):
    removed = apps.get_model("directory", "Mailbox").objects.filter(state="removed")
    apps.get_model("store", "Usage").objects.filter(mailbox__in=removed.values("pk")).update(is_removed=True)


class Migration(migrations.Migration):
    dependencies = [("store", "0003_removed_mailboxes"), ("directory", "0007_what_outlived_its_holder_ends")]
    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
