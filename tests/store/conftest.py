import secrets

import pytest

from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.store.blobs import mail_storage
from mailsuite.store.folders import prepare_mailbox


@pytest.fixture(autouse=True)
def blob_folder(settings, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "mail": {"BACKEND": "mailsuite.store.blobs.LocalBlobs", "OPTIONS": {"location": str(tmp_path / "mail")}}
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
