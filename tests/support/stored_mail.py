"""A store with mailboxes and blobs of its own, for a test."""

import secrets
from datetime import UTC, datetime

import pytest

from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.store.folders import prepare_mailbox
from mailsuite.store.models import Folder
from mailsuite.store.operations import Append, AppendItem
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

EVER = datetime.max.replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def mail_folder(settings, tmp_path):
    store_mail_in(settings, tmp_path / "mail")


def store_mail_in(settings, folder):
    """From now on the test's messages are stored there, and nowhere before."""
    local = {"BACKEND": "mailsuite.writer.local_storage.LocalStorage", "OPTIONS": {"location": str(folder)}}
    settings.STORAGES = settings.STORAGES | {"mail": local}
    mail_storage().prepare()


def blob_names():
    """All blobs that are stored."""
    return list(mail_storage().blobs_before(EVER))


def spooled_names():
    """All spool files that are stored."""
    return list(mail_storage().spooled_before(EVER))


@pytest.fixture
def make_mailbox():
    def make(address: str) -> Mailbox:
        domain, _ = Domain.objects.get_or_create(name=address.partition("@")[2])
        user = User.objects.create(email=address, address_key=address)
        mailbox = Mailbox.objects.create(domain=domain, user=user, address=address, address_key=address)
        prepare_mailbox(mailbox)
        return mailbox

    return make


@pytest.fixture
def spooled():
    def spool(octets: bytes) -> str:
        name = secrets.token_hex(8)
        mail_storage().put_spooled(name, octets)
        return name

    return spool


@pytest.fixture
def mailbox(make_mailbox):
    return make_mailbox("a@example.org")


@pytest.fixture
def fill(mailbox, spooled):
    """Appends messages with these flags to the inbox and returns it."""

    def fill(*bits: int) -> Folder:
        inbox = Folder.objects.get(mailbox=mailbox, role="inbox")
        items = [AppendItem(spooled(b"Subject: x\r\n\r\n"), 14, flag) for flag in bits]
        execute(Append(mailbox.pk, inbox.pk, items))
        inbox.refresh_from_db()
        return inbox

    return fill
