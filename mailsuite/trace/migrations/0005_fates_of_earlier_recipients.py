"""What became of the recipients of messages that came before this was kept: from the queue, and from their events."""

from django.db import migrations

SLICE = 500
# What an event means for whom it names; the last one counts.
OF_EVENTS = {
    "filed": "delivered", "fetched": "", "queued": "waiting", "held": "held", "released": "waiting",
    "delayed": "waiting", "delivered": "delivered", "relayed": "delivered", "failed": "bounced", "refused": "refused",
    "dropped": "dropped",
}  # fmt: skip


def fill(apps, schema_editor):
    """In slices, each by itself: where it ended it goes on when it is run again."""
    database = schema_editor.connection.alias
    fill_waiting(apps, database)
    fill_stories(apps, database)


def fill_waiting(apps, database):
    """Those that wait, by the ids of their rows in the queue, so that results find them."""
    waiting = apps.get_model("queue", "QueuedRecipient").objects.using(database).filter(settled_at=None)
    recipient = apps.get_model("trace", "StoryRecipient")
    waiting = waiting.exclude(message__story_id=None).select_related("message").order_by("pk")
    waiting = waiting.defer("message__prefix")
    last = 0
    while rows := list(waiting.filter(pk__gt=last)[:SLICE]):
        last = rows[-1].pk
        recipient.objects.using(database).bulk_create(
            (
                recipient(
                    id=row.pk,
                    story_id=row.message.story_id,
                    address=row.forward_path,
                    domain_id=row.message.domain_id,
                    fate="held" if row.message.held_at else "waiting",
                    reason="held" if row.message.held_at else "",
                    text=row.message.hold_reason or _said(row),
                    attempt_count=row.attempt_count,
                )
                for row in rows
            ),
            ignore_conflicts=True,
        )


def fill_stories(apps, database):
    """All others, by what their stories tell."""
    stories = apps.get_model("trace", "Story").objects.using(database).order_by("pk")
    last = 0
    while rows := list(stories.filter(pk__gt=last).values_list("pk", "outcome")[:SLICE]):
        last = rows[-1][0]
        fill_slice(apps, database, dict(rows))


def fill_slice(apps, database, outcomes):
    recipient, event = apps.get_model("trace", "StoryRecipient"), apps.get_model("trace", "Event")
    known = recipient.objects.using(database).filter(story__in=list(outcomes))
    done = {(story, address, domain) for story, address, domain in known.values_list("story", "address", "domain")}
    fresh = {}
    events = event.objects.using(database).filter(story__in=list(outcomes)).order_by("pk")
    for one in events.values_list("pk", "story", "kind", "address", "domain", "reason", "text").iterator(SLICE):
        _take(fresh, outcomes, one)
    recipient.objects.using(database).bulk_create(
        (recipient(**fields) for key, fields in fresh.items() if key not in done),
        ignore_conflicts=True,
        batch_size=SLICE,
    )


def _take(fresh, outcomes, one):
    """Changes what is known of the recipient whom the event names."""
    pk, story, kind, address, domain, reason, text = one
    if kind == "withdrawn":
        for key, fields in fresh.items():
            if key[0] == story:
                fields.update(fate="deferred", reason=reason, text=text)
        return
    fate = OF_EVENTS.get(kind)
    if not fate:
        return
    fate = "junk" if kind == "filed" and reason else fate
    fate = "deferred" if kind == "refused" and outcomes[story] == "deferred" else fate
    fate = "held" if kind == "queued" and reason == "held" else fate
    # Of the events the first has the id: no row in the queue needs it, and it is not used here yet.
    fields = fresh.setdefault(
        (story, address, domain),
        {"id": pk, "story_id": story, "address": address, "domain_id": domain, "attempt_count": 0},
    )
    tries = fields["attempt_count"] + (kind in ("delayed", "delivered", "relayed", "failed"))
    text = "" if kind == "filed" else text
    fields.update(fate=fate, reason=reason, text=text, attempt_count=tries)


def _said(row):
    return f"{row.last_host}: {row.last_reply}" if row.last_host else row.last_reply


class Migration(migrations.Migration):
    # Each slice by itself: a large table must not be written in one transaction.
    atomic = False

    dependencies = [("trace", "0004_fates_of_recipients"), ("queue", "0005_causes_of_waiting")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
