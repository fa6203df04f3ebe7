"""Mail as rows for people who write Python: what they are kept from, what does it right, and what they can read."""

import re
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.apps import apps

from mailsuite.database import guard
from mailsuite.database.guard import BypassesStore, MailHolder, StoreOwned
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.store import shell
from mailsuite.store.flags import FLAGGED, SEEN
from mailsuite.store.models import Content, Folder, Message, Usage
from mailsuite.writer.operation import Refused

pytestmark = pytest.mark.django_db(transaction=True)
MAIL = b"From: Ann <ann@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n"


@pytest.fixture
def as_stranger(monkeypatch):
    """This module's writes are then those of somebody else's app."""
    return lambda: monkeypatch.setattr(guard, "OWN_PACKAGES", guard.OWN_PACKAGES - {"tests"})


WRITES = [
    ("Message", "delete", lambda: Message.objects.filter(uid=1).delete()),
    ("Message", "delete", lambda: Message.objects.get(uid=1).delete()),
    ("Message", "update", lambda: Message.objects.update(flags=0)),
    ("Message", "save", lambda: Message.objects.get(uid=1).save()),
    ("Message", "bulk_update", lambda: Message.objects.bulk_update([Message.objects.get(uid=1)], ["flags"])),
    ("Message", "bulk_create", lambda: Message.objects.bulk_create([Message(uid=9)])),
    ("Message", "create", lambda: Message.objects.get_or_create(uid=9)),
    ("Message", "delete", lambda: Folder.objects.get(role="inbox").messages.all().delete()),
    ("Folder", "create", lambda: Folder.objects.create(name="x")),
    ("Folder", "delete", lambda: Mailbox.objects.get().folders.all().delete()),
    ("Content", "delete", lambda: Content.objects.get().delete()),
    ("Usage", "update", lambda: Usage.objects.update(used_octets=0)),
    ("QueuedMessage", "delete", lambda: QueuedMessage.objects.all().delete()),
    ("QueuedRecipient", "update", lambda: QueuedRecipient.objects.update(state="dropped")),
    ("Mailbox", "delete", lambda: Mailbox.objects.get().delete()),
    ("Mailbox", "delete", lambda: Mailbox.objects.all().delete()),
    ("Domain", "delete", lambda: Domain.objects.all().delete()),
]


@pytest.mark.parametrize(("model", "call", "write"), WRITES, ids=range(len(WRITES)))
def test_who_writes_past_the_store_is_told_the_right_call(mailbox, as_stranger, model, call, write):
    shell.append(mailbox.folders.get(role="inbox"), MAIL)
    as_stranger()
    said = rf"^{model} rows can't be changed by {call}\(\): .* Use (the functions of )?mailsuite\."
    with pytest.raises(BypassesStore, match=said) as told:
        write()
    assert Message.objects.get().flags == 0 and Mailbox.objects.exists()
    for name in re.findall(r"(mailsuite\.[a-z.]+)\.([a-z_]+)\(\)", str(told.value)):
        module = __import__(name[0], fromlist=["x"])
        assert callable(getattr(module, name[1])), name


def test_everybody_may_read_and_change_what_no_count_hangs_on(mailbox, as_stranger):
    as_stranger()
    assert Message.objects.filter(folder__mailbox=mailbox).count() == 0
    Mailbox.objects.filter(pk=mailbox.pk).update(name="Ann")
    mailbox.refresh_from_db()
    mailbox.save()
    assert str(mailbox.folders.get(role="inbox")) == "INBOX of a@example.org"


def test_all_tables_of_mail_are_guarded():
    labels = {model._meta.label for model in apps.get_models() if issubclass(model, StoreOwned)}
    expected = {model._meta.label for model in apps.get_app_config("store").get_models()}
    assert labels == expected | {"queue.QueuedMessage", "queue.QueuedRecipient", "queue.DeliveryAttempt"}
    assert issubclass(Mailbox, MailHolder) and issubclass(Domain, MailHolder)


def counts(folder):
    folder.refresh_from_db()
    return folder.message_count, folder.unseen_count, folder.messages.count()


def test_messages_are_moved_flagged_copied_and_deleted_through_the_store(mailbox, as_stranger, monkeypatch):
    monkeypatch.setattr(shell, "ROWS_AT_ONCE", 2)
    inbox, archive = mailbox.folders.get(role="inbox"), mailbox.folders.get(role="archive")
    as_stranger()
    for _ in range(5):
        shell.append(inbox, MAIL, flags=["\\Seen", "Work"])
    assert counts(inbox) == (5, 0, 5)
    assert shell.set_flags(inbox.messages.all(), add=["\\flagged"], remove=["\\Seen", "work"]) == 5
    assert counts(inbox) == (5, 5, 5)
    assert set(inbox.messages.values_list("flags", "keywords")) == {(FLAGGED, "")}
    assert shell.move(inbox.messages.filter(uid__lte=3), archive) == 3
    assert (counts(inbox), counts(archive)) == ((2, 2, 2), (3, 3, 3))
    assert shell.copy([inbox.messages.first()], archive) == 1
    assert shell.delete(Message.objects.filter(mailbox=mailbox)) == 6
    assert (counts(inbox), counts(archive)) == ((0, 0, 0), (0, 0, 0))
    mailbox.usage.refresh_from_db()
    assert (mailbox.usage.used_octets, mailbox.usage.message_count) == (0, 0)


def test_folders_are_made_renamed_and_deleted_through_the_store(mailbox, as_stranger):
    as_stranger()
    folder = shell.create_folder(mailbox, "Work/2026")
    shell.append(folder, MAIL)
    shell.rename_folder(folder, "Old")
    folder.refresh_from_db()
    assert folder.name == "Old"
    shell.delete_folder(folder)
    mailbox.usage.refresh_from_db()
    assert mailbox.usage.message_count == 0


def test_what_is_refused(mailbox, make_mailbox):
    inbox = mailbox.folders.get(role="inbox")
    message = shell.append(inbox, MAIL)
    other = make_mailbox("b@example.org").folders.get(role="inbox")
    with pytest.raises(Refused, match="can't leave its mailbox"):
        shell.move([message], other)
    with pytest.raises(ValueError, match="is no flag"):
        shell.set_flags([message], add=["two words"])
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_octets=len(MAIL))
    with pytest.raises(Refused) as refused:
        shell.append(Folder.objects.get(pk=inbox.pk), MAIL)
    assert refused.value.code == "over-quota"


def test_a_message_is_read_as_octets_and_as_email(mailbox, fill):
    message = shell.append(mailbox.folders.get(role="inbox"), MAIL, flags=["\\Seen"])
    Message.objects.filter(pk=message.pk).update(prefix=b"Return-Path: <>\r\n", size_octets=17 + len(MAIL))
    message.refresh_from_db()
    assert message.octets() == b"Return-Path: <>\r\n" + MAIL and message.flags == SEEN
    email = message.as_email()
    assert isinstance(email, EmailMessage)
    assert (email["subject"], email.get_content()) == ("Grüße", "Hello\r\n")
    for read in (message.octets, message.as_email):
        with pytest.raises(ValueError, match="more than 10"):
            read(most_octets=10)
    assert str(message) == f"Grüße ({message.internal_date:%Y-%m-%d %H:%M}, uid 1)"


def test_the_guides_chapter_is_true(mailbox, capsys):
    """Its lines are run as they stand there."""
    guide = (Path(__file__).parents[2] / "deploy" / "guide" / "reference.md").read_text()
    code = re.search(r"## Mail in Python\n.*?```python\n(from .*?)```", guide, re.DOTALL)[1]
    inbox = mailbox.folders.get(role="inbox")
    for subject in (b"Invoice 7", b"Newsletter"):
        shell.append(inbox, b"From: shop@example.com\r\nSubject: " + subject + b"\r\n\r\ntext\r\n")
    exec(compile(code.replace("ann@example.org", mailbox.address), "README", "exec"), {"__name__": "readme"})
    assert "Invoice 7" in capsys.readouterr().out
    assert mailbox.folders.get(name="Shops").message_count == 1
    assert counts(inbox) == (0, 0, 0)
