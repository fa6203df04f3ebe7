import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("directory", "0003_names_as_the_menu_has_them"),
        ("store", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="maildroplease",
            name="uid_next",
            # Of a session that ended with the services, before the upgrade.
            field=models.PositiveBigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="DepartedMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.BigIntegerField(db_index=True)),
                ("uid", models.PositiveBigIntegerField()),
                ("unique_id", models.BigIntegerField()),
                ("internal_date", models.DateTimeField()),
                ("save_date", models.DateTimeField()),
                ("prefix", models.BinaryField()),
                ("size_octets", models.BigIntegerField()),
                ("first_fetched_at", models.DateTimeField(null=True)),
                (
                    "content",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="store.content"
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="directory.mailbox",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("mailbox", "uid"), name="departed_uid_once")],
            },
        ),
    ]
