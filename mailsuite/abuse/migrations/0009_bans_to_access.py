"""Bans are the app's that is named access, with their tables as they are."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("abuse", "0008_when_a_block_list_was_told"),
        ("access", "0001_bans_from_abuse"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel(name=name) for name in ("AllowedNetwork", "Ban", "BanVersion", "Offence")
            ],
        ),
    ]
