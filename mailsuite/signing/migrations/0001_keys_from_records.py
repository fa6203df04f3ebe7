"""DKIM keys, which the app "records" made, are this app's: the table keeps its name and rows, so that nothing is written
to it. What points at the model by its name (permissions, Django's history and ours) is led along."""

import django.db.models.deletion
from django.db import migrations, models

STATES = ("pending", "published", "active", "retired", "revoked")


def _rename(apps, alias, old, new):
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(alias)
    content_types.filter(app_label=old, model="dkimkey").update(app_label=new)
    changes = apps.get_model("directory", "Change").objects.using(alias)
    changes.filter(model=f"{old}.dkimkey").update(model=f"{new}.dkimkey")


def to_signing(apps, schema_editor):
    _rename(apps, schema_editor.connection.alias, "records", "signing")


def to_records(apps, schema_editor):
    _rename(apps, schema_editor.connection.alias, "signing", "records")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("directory", "0012_history_of_earlier_forms"),
        ("records", "0004_words_that_people_know"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="DkimKey",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("selector", models.CharField(max_length=63)),
                        (
                            "algorithm",
                            models.CharField(choices=[("rsa", "RSA-2048"), ("ed25519", "Ed25519")], max_length=8),
                        ),
                        (
                            "state",
                            models.CharField(
                                choices=[(state, state.capitalize()) for state in STATES],
                                default="pending",
                                max_length=10,
                            ),
                        ),
                        ("private_key", models.TextField(editable=False)),
                        (
                            "public_key",
                            models.TextField(editable=False, help_text="The p= value: base64, one line."),
                        ),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "seen_in_dns_at",
                            models.DateTimeField(blank=True, editable=False, null=True, verbose_name="seen in DNS"),
                        ),
                        (
                            "activated_at",
                            models.DateTimeField(blank=True, editable=False, null=True, verbose_name="signs since"),
                        ),
                        ("retired_at", models.DateTimeField(blank=True, editable=False, null=True)),
                        ("takes_over", models.BooleanField(default=False, editable=False)),
                        (
                            "domain",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="dkim_keys",
                                to="directory.domain",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "DKIM key",
                        "db_table": "records_dkimkey",
                        "constraints": [
                            models.UniqueConstraint(fields=("domain", "selector"), name="dkim_selector_once")
                        ],
                    },
                ),
            ],
        ),
        migrations.RunPython(to_signing, to_records),
    ]
