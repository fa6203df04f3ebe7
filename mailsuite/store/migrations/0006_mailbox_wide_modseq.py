"""One mod-sequence for each mailbox instead of one for each folder; no row of mail is written for it."""

from django.db import migrations, models

from mailsuite.database.columns import AddColumn


def modseq():
    return models.PositiveBigIntegerField(db_default=1)


class Migration(migrations.Migration):
    dependencies = [("store", "0005_slices_of_large_changes")]

    operations = [
        AddColumn("usage", "highest_modseq", models.PositiveBigIntegerField(default=1, db_default=1)),
        AddColumn("folder", "modseq", models.PositiveBigIntegerField(default=1, db_default=1)),
        AddColumn("message", "created_modseq", modseq()),
        AddColumn("tombstone", "created_modseq", modseq()),
        AddColumn("tombstone", "message_id", models.BigIntegerField(null=True)),
    ]
