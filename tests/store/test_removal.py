"""Mailboxes and domains that were removed are deleted for good in time, and nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection, transaction

from mailsuite.directory.models import Domain, Mailbox
from mailsuite.ids import new_id
from mailsuite.pipeline import quota_warnings
from mailsuite.provisioning.deletion import remove_marked
from mailsuite.provisioning.domains import add_domain
from mailsuite.provisioning.mailboxes import add_mailbox
from mailsuite.provisioning.removal import remove_domain, remove_mailbox
from mailsuite.provisioning.restoring import restore_mailbox
from mailsuite.store.models import Content, DepartedMessage, Folder, MaildropLease, Message, Usage
from mailsuite.store.operations import (
    Append,
    AppendItem,
    Copy,
    CreateFolder,
    Deliver,
    Expunge,
    LeaseMaildrop,
    LocalDelivery,
    RenameFolder,
)
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.batch import Batch
from mailsuite.writer.operation import Refused
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

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


# Nothing is filed in a mailbox that is removed


def letter(*mailboxes, **facts):
    local = [LocalDelivery(mailbox.pk, mailbox.address, b"") for mailbox in mailboxes]
    story = StoryFacts(new_id(), facts.pop("kind", "inbound"), "accepted", datetime.now(UTC), **facts)
    return Deliver.carrying(b"Subject: late\r\n\r\n", story, local=local)


def test_nobody_gets_what_one_can_not_get(mailboxes):
    ann, bob = mailboxes
    remove_mailbox("ann@removal.test")
    with pytest.raises(Refused) as refused:
        execute(letter(ann, bob))
    assert refused.value.code == "nonexistent"
    assert not Content.objects.filter(subject="late").exists()
    execute(letter(bob))
    assert Message.objects.filter(content__subject="late").count() == 1


def test_a_mailbox_that_is_removed_sends_nothing(mailboxes):
    ann, bob = mailboxes
    remove_mailbox("ann@removal.test")
    with pytest.raises(Refused):
        execute(letter(bob, kind="submission", sender_mailbox_id=ann.pk))
    assert not Content.objects.filter(subject="late").exists()


@pytest.mark.parametrize("remove", [lambda: remove_mailbox("ann@removal.test"), lambda: remove_domain("removal.test")])
def test_imap_and_pop3_change_nothing_in_a_removed_mailbox(mailboxes, remove):
    ann = mailboxes[0]
    inbox, archive = (Folder.objects.get(mailbox=ann, role=role) for role in ("inbox", "archive"))
    remove()
    item = AppendItem("x" * 32, 6, octets=b"a: b\r\n")
    for operation in (
        Append(ann.pk, inbox.pk, [item]),
        Copy(ann.pk, inbox.pk, archive.pk, [1]),
        CreateFolder(ann.pk, "new"),
        RenameFolder(ann.pk, "Archive", "Attic"),
        LeaseMaildrop(ann.pk, "token"),
    ):
        with pytest.raises(Refused) as refused:
            execute(operation)
        assert refused.value.code == "nonexistent"
    assert Folder.objects.filter(mailbox=ann).count() == 6


def test_a_restored_mailbox_is_filed_in(mailboxes):
    ann = mailboxes[0]
    remove_mailbox("ann@removal.test")
    restore_mailbox(ann.pk)
    execute(letter(ann))
    assert Message.objects.filter(mailbox=ann).count() == 2


@pytest.mark.postgresql_only
def test_a_removal_waits_for_what_is_being_filed(mailboxes):
    """Who is at work locks the row that a removal needs; neither comes between the other's look and its commit."""
    ann = mailboxes[0]
    other = connection.copy()
    other.connect()
    try:
        with transaction.atomic():
            Batch().lock([Expunge(ann.pk, 0, [])])
            other.cursor().execute("SET lock_timeout = '100ms'")
            with pytest.raises(OperationalError), other.cursor() as cursor:
                cursor.execute("SELECT 1 FROM store_usage WHERE mailbox_id = %s FOR UPDATE", [ann.pk])
        other.cursor().execute("SELECT 1 FROM store_usage WHERE mailbox_id = %s FOR UPDATE", [ann.pk])
    finally:
        other.close()


def test_owners_are_warned_although_another_mailbox_is_removed_meanwhile(mailboxes, monkeypatch):
    Mailbox.objects.update(quota_octets=10)
    ann, bob = mailboxes
    now = datetime.now(UTC)

    def removing(usage, at):
        if Mailbox.objects.filter(pk=ann.pk).exclude(state="removed").exists():
            remove_mailbox("ann@removal.test")
        return quota_warning(usage, at)

    quota_warning = quota_warnings._warning
    monkeypatch.setattr(quota_warnings, "_warning", removing)
    assert quota_warnings.warn_full_mailboxes(now) == 1
    assert Message.objects.filter(mailbox=bob, content__subject__contains="full").exists()
