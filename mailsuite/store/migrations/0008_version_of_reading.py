"""By which version of the reading a Content's columns were filled: until now by the first."""

from django.db import migrations, models

from mailsuite.database.columns import AddColumn


class Migration(migrations.Migration):
    dependencies = [("store", "0007_modseq_of_mailboxes_so_far")]

    operations = [AddColumn("content", "reading_version", models.PositiveSmallIntegerField(db_default=1))]
