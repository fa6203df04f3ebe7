"""DKIM keys are the app's that is named signing, with their table as it is."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0004_words_that_people_know"),
        ("signing", "0001_keys_from_records"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="DkimKey")]),
    ]
