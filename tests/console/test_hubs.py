"""A domain's and a mailbox's page lead to all that belongs to them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mailsuite.console.hubs import SHOWN, Line, parts_of
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.provisioning import restoring, services
from mailsuite.store import shell
from mailsuite.store.models import Content, Message
from mailsuite.trace.models import Story, StoryRecipient

NOW = timezone.now()
FOREIGN = "theirs.example"


def hub(client, row):
    """The cards of a row's page, as the person sees them: their lines by title."""
    page = client.get(reverse(f"admin:directory_{row._meta.model_name}_change", args=[row.pk]))
    assert page.status_code == 200
    parts = [part for context in page.context if "hub_parts" in context for part in context["hub_parts"]]
    return {part.title: [line.text for line in part.lines] for part in parts}, page.content.decode()


@pytest.fixture
def ann(everything):
    return Mailbox.objects.get(address="ann@mine.example")


def test_a_mailbox_s_page_shows_what_belongs_to_it(as_superuser, ann):
    shown, page = hub(as_superuser, ann)
    assert "a letter to both" in shown["Messages"] and shown["Devices"] == ["telephone of ann@mine.example"]
    assert shown["Last signed in"] == ["IMAP"] and "info@mine.example" in shown["Aliases"]
    for url in ("trace_story", "directory_alias", "directory_credential", "directory_login", "screening_rule"):
        assert reverse(f"admin:{url}_changelist") in page


def test_a_domain_s_page_shows_what_belongs_to_it(as_superuser, everything):
    shown, page = hub(as_superuser, Domain.objects.get(name="mine.example"))
    assert "a letter of mine.example" in shown["Messages"] and "ann@mine.example" in shown["Mailboxes"]
    assert shown["Rules"] == ["x@mine.example.remote.example"] and "info@mine.example" in shown["Aliases"]
    assert "DNS records" in shown["DNS, keys and reports"] and "address=%40mine.example" in page


def test_messages_say_what_became_of_them(as_superuser, ann, everything):
    """Each was "accepted", bounced and junked mail too."""
    for fate in ("bounced", "junk"):
        StoryRecipient.objects.create(story=everything, address=ann.address, domain=ann.domain, fate=fate)
    for row in (ann, ann.domain):
        _, page = hub(as_superuser, row)
        assert '<span class="ms-badge ms-bad">Bounced</span>' in page and "In Junk" in page


def test_a_mailbox_s_page_says_when_mail_took_each_way_last(as_superuser, ann):
    shown, _ = hub(as_superuser, ann)
    assert shown["Last mail"] == ["Received"]
    Message.objects.create(
        folder=shell.create_folder(ann, "Drafts of ann"), mailbox=ann, content=Content.objects.first(), uid=1,
        unique_id=1, modseq=1, internal_date=NOW, save_date=NOW, size_octets=1,
    )  # fmt: skip
    Story.objects.create(
        kind="submission", outcome="accepted", at=NOW, subject="to a friend", reverse_path=ann.address,
        sender_key=ann.address_key, sender_domain=ann.domain,
    )  # fmt: skip
    shown, _ = hub(as_superuser, ann)
    assert set(shown["Last mail"]) == {"Received", "Saved by a mail program", "Sent"}


def test_how_long_ago_that_was():
    now = timezone.now()
    assert (
        Line("", at=now).ago == "just now" and Line("", at=now - timedelta(hours=3, minutes=2)).ago == "3\xa0hours ago"
    )


def test_a_domain_administrator_sees_of_a_page_what_is_theirs(as_domain_administrator, ann):
    for row in (ann, ann.domain):
        shown, page = hub(as_domain_administrator, row)
        assert shown and FOREIGN not in str({title: lines for title, lines in shown.items() if title != "Messages"})
    # An account that reaches over the border is not theirs to know of.
    services.add_app_password(Mailbox.objects.get(address="ann.too@mine.example").user_id, "telephone elsewhere")
    shown, _ = hub(as_domain_administrator, Mailbox.objects.get(address="ann.too@mine.example"))
    assert "Devices" not in shown and "Last signed in" not in shown


def test_a_page_shows_some_of_many_and_asks_as_often(as_superuser, ann):
    def asked():
        with CaptureQueriesContext(connection) as queries:
            hub(as_superuser, ann.domain)
        return len(queries)

    before = asked()
    for number in range(3 * SHOWN):
        services.add_alias(f"x{number}@mine.example", [ann.address])
    shown, _ = hub(as_superuser, ann)
    assert len(shown["Aliases"]) == SHOWN and asked() <= before


def test_what_was_removed_has_none(as_superuser, everything, rf):
    gone = restoring.removed_mailboxes().first()
    page = as_superuser.get(reverse("admin:directory_removedmailbox_change", args=[gone.pk])).content.decode()
    assert gone.address in page and "ms-hub" not in page and parts_of(rf.get("/"), None) == []
