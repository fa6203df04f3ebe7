from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queue", "0001_initial"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="queuedrecipient",
            index=models.Index(
                condition=models.Q(("attempt_count", 0), ("settled_at", None)),
                fields=["next_attempt_at"],
                name="recipient_fresh",
            ),
        ),
    ]
