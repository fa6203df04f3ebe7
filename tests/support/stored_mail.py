"""A store with mailboxes and blobs of its own, for a test."""

import secrets

import pytest

from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.store.folders import prepare_mailbox
from mailsuite.store.models import Folder
from mailsuite.store.operations import Append, AppendItem
from mailsuite.writer.blobs import mail_storage
from mailsuite.writer.run import execute


@pytest.fixture(autouse=True)
def blob_folder(settings, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "mail": {"BACKEND": "mailsuite.writer.blobs.LocalBlobs", "OPTIONS": {"location": str(tmp_path / "mail")}}
    }
    mail_storage().prepare()


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
        (mail_storage().spool / name).write_bytes(octets)
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
