from django.db import migrations

# Name, zone, kind, weight, whether it knows IPv6, and what to know before it is used. None is asked until somebody says so.
SUGGESTED = (
    (
        "Spamhaus ZEN",
        "zen.spamhaus.org",
        "block",
        1.0,
        True,
        "Free for small sites that ask through their own resolver; with a DQS key: KEY.zen.dq.spamhaus.net",
    ),
    ("SpamCop", "bl.spamcop.net", "block", 0.5, False, "Lists quickly, and forgets within a day."),
    ("Barracuda", "b.barracudacentral.org", "block", 0.5, False, "Register the addresses of your resolver first."),
    ("PSBL", "psbl.surriel.com", "block", 0.5, False, "Passive Spam Block List."),
    ("DNSWL", "list.dnswl.org", "allow", 0.5, True, "Known good hosts. Free for small sites."),
)


def add(apps, schema_editor):
    model = apps.get_model("screening", "DnsList")
    for name, zone, kind, weight, asks_ipv6, note in SUGGESTED:
        model.objects.get_or_create(
            zone=zone, defaults={"name": name, "kind": kind, "weight": weight, "asks_ipv6": asks_ipv6, "note": note}
        )


class Migration(migrations.Migration):
    dependencies = [("screening", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
