"""Bans, which the app "abuse" made, are this app's: the tables keep their names and rows, so that nothing is written to
them. What points at a model by its name (permissions, Django's history and ours) is led along."""

from django.db import migrations, models

MOVED = ("allowednetwork", "ban", "banversion", "offence")
REASONS = [
    ("password-guessing", "guesses passwords"),
    ("recipient-probing", "tries out recipients"),
    ("protocol-abuse", "breaks the protocol"),
    ("by-hand", "by an administrator"),
]


def _rename(apps, alias, old, new):
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(alias)
    changes = apps.get_model("directory", "Change").objects.using(alias)
    for model in MOVED:
        content_types.filter(app_label=old, model=model).update(app_label=new)
        changes.filter(model=f"{old}.{model}").update(model=f"{new}.{model}")


def to_access(apps, schema_editor):
    _rename(apps, schema_editor.connection.alias, "abuse", "access")


def to_abuse(apps, schema_editor):
    _rename(apps, schema_editor.connection.alias, "access", "abuse")


def _id():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("abuse", "0008_when_a_block_list_was_told"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("directory", "0012_history_of_earlier_forms"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="AllowedNetwork",
                    fields=[
                        ("id", _id()),
                        ("network", models.CharField(max_length=50, unique=True)),
                        ("note", models.CharField(blank=True, max_length=200)),
                    ],
                    options={
                        "verbose_name": "never banned network",
                        "verbose_name_plural": "never banned networks",
                        "db_table": "abuse_allowednetwork",
                        "ordering": ["network"],
                    },
                ),
                migrations.CreateModel(
                    name="Ban",
                    fields=[
                        ("id", _id()),
                        (
                            "kind",
                            models.CharField(choices=[("network", "Network"), ("account", "Account")], max_length=10),
                        ),
                        ("subject", models.CharField(max_length=320, verbose_name="network or account")),
                        ("reason", models.CharField(choices=REASONS, max_length=20)),
                        ("note", models.CharField(blank=True, max_length=200)),
                        ("started_at", models.DateTimeField()),
                        ("ends_at", models.DateTimeField(blank=True, null=True)),
                        ("count", models.PositiveIntegerField(default=1, verbose_name="bans so far")),
                        (
                            "refused_count",
                            models.PositiveBigIntegerField(default=0, verbose_name="turned away since"),
                        ),
                    ],
                    options={
                        "db_table": "abuse_ban",
                        "indexes": [models.Index(fields=["ends_at"], name="ban_end")],
                        "constraints": [models.UniqueConstraint(fields=("kind", "subject"), name="ban_once")],
                    },
                ),
                migrations.CreateModel(
                    name="BanVersion",
                    fields=[("id", _id()), ("version", models.PositiveBigIntegerField(default=1))],
                    options={
                        "db_table": "abuse_banversion",
                        "constraints": [
                            models.CheckConstraint(condition=models.Q(("pk", 1)), name="ban_version_single_row")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Offence",
                    fields=[
                        ("id", _id()),
                        ("network", models.CharField(max_length=50)),
                        ("reason", models.CharField(max_length=20)),
                        ("points", models.PositiveIntegerField(default=0)),
                        ("window_started_at", models.DateTimeField(db_index=True)),
                    ],
                    options={
                        "db_table": "abuse_offence",
                        "constraints": [models.UniqueConstraint(fields=("network", "reason"), name="offence_once")],
                    },
                ),
            ],
        ),
        migrations.RunPython(to_access, to_abuse),
    ]
