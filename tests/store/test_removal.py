"""Mailboxes and domains that were removed are deleted for good in time, and nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.directory.models import Domain, Mailbox
from mailsuite.directory.services.domains import add_domain
from mailsuite.directory.services.mailboxes import add_mailbox
from mailsuite.directory.services.removal import remove_domain, remove_mailbox
from mailsuite.ids import new_id
from mailsuite.store.blobs import mail_storage
from mailsuite.store.handlers import execute
from mailsuite.store.models import Content, DepartedMessage, Folder, MaildropLease, Message, Usage
from mailsuite.store.operations import Copy, Deliver, LeaseMaildrop, LocalDelivery, StoryFacts
from mailsuite.store.removal import remove_marked

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
PASSWORD = "a long enough password"


@pytest.fixture
def mailboxes():
    """Two mailboxes that share a message."""
    add_domain("removal.test")
    for name in ("ann", "bob"):
        add_mailbox(f"{name}@removal.test", PASSWORD)
    found = list(Mailbox.objects.filter(domain__name="removal.test").order_by("address"))
    mail_storage().prepare()
    local = [LocalDelivery(mailbox.pk, mailbox.address, b"") for mailbox in found]
    story = StoryFacts(new_id(), "inbound", "accepted", datetime.now(UTC))
    execute(Deliver.carrying(b"Subject: x\r\n\r\n", story, local=local))
    return found


def days(number):
    return datetime.now(UTC) + timedelta(days=number)


def test_a_removed_mailbox_is_deleted_after_thirty_days(mailboxes):
    ann, bob = mailboxes
    remove_mailbox("ann@removal.test")
    assert remove_marked(days(29)) == 0
    assert Message.objects.filter(mailbox=ann).count() == 1
    assert remove_marked(days(31)) == 1
    assert not Mailbox.objects.filter(pk=ann.pk).exists()
    for model in (Folder, Message, Usage):
        assert not model.objects.filter(mailbox_id=ann.pk).exists()
        assert model.objects.filter(mailbox_id=bob.pk).exists()
    assert Content.objects.filter(messages__mailbox=bob).count() == 1


def test_a_removed_mailbox_takes_what_a_pop3_session_showed(mailboxes):
    ann, bob = mailboxes
    for mailbox in mailboxes:
        execute(LeaseMaildrop(mailbox.pk, "one"))
        inbox, archive = (Folder.objects.get(mailbox=mailbox, role=role) for role in ("inbox", "archive"))
        execute(Copy(mailbox.pk, inbox.pk, archive.pk, [1], move=True))
    remove_mailbox("ann@removal.test")
    assert remove_marked(days(31)) == 1
    assert MaildropLease.objects.get().mailbox_id == DepartedMessage.objects.get().mailbox_id == bob.pk


def test_a_removed_domain_is_deleted_with_its_other_names(mailboxes):
    add_domain("other-name.test", alias_of="removal.test")
    remove_domain("removal.test")
    assert remove_marked(days(29)) == 0
    assert remove_marked(days(31)) == 4
    assert not Domain.objects.filter(name__contains="removal").exists()
    assert not Domain.objects.filter(name__contains="other-name").exists()


def test_what_is_not_marked_stays(mailboxes):
    assert remove_marked(days(1000)) == 0
