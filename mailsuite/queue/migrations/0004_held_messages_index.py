from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queue", "0003_words_that_people_know"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="queuedmessage",
            index=models.Index(
                condition=models.Q(("held_at__isnull", False), ("settled_at", None)),
                fields=["domain"],
                name="queued_held",
            ),
        ),
    ]
