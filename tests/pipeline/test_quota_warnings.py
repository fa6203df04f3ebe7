from datetime import UTC, datetime, timedelta

import pytest

from mailsuite.pipeline.quota_warnings import warn_full_mailboxes
from mailsuite.sizes import readable
from mailsuite.store.models import Content, Message, Usage
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def limited(make_mailbox):
    def limited(used: int):
        mailbox = make_mailbox("a@example.org")
        mailbox.quota_octets = 1_000_000
        mailbox.save()
        Usage.objects.filter(mailbox=mailbox).update(used_octets=used)
        return mailbox

    return limited


def test_a_nearly_full_mailbox_is_warned_once(limited):
    mailbox = limited(900_000)
    assert warn_full_mailboxes(NOW) == 1
    assert warn_full_mailboxes(NOW + timedelta(hours=1)) == 0
    content = Content.objects.get()
    assert content.subject == "Your mailbox is 90 % full"
    with mail_storage().open(content.blob) as blob:
        octets = blob.read()
    assert b"879 KB of 977 KB" in octets and b"\n" not in octets.replace(b"\r\n", b"")
    assert Message.objects.get().mailbox_id == mailbox.pk


def test_it_is_reminded_after_a_week_and_anew_after_it_made_room(limited):
    mailbox = limited(950_000)
    warn_full_mailboxes(NOW)
    assert warn_full_mailboxes(NOW + timedelta(days=8)) == 1
    Usage.objects.filter(mailbox=mailbox).update(used_octets=500_000)
    assert warn_full_mailboxes(NOW + timedelta(days=8, hours=1)) == 0
    Usage.objects.filter(mailbox=mailbox).update(used_octets=950_000)
    assert warn_full_mailboxes(NOW + timedelta(days=8, hours=2)) == 1


@pytest.mark.parametrize("used", [0, 899_999])
def test_others_are_left_in_peace(limited, used):
    limited(used)
    assert warn_full_mailboxes(NOW) == 0


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 octets"), (1023, "1023 octets"), (1536, "1.5 KB"), (10 << 30, "10 GB"), (5 << 50, "5120 TB")],
)
def test_sizes_are_readable(octets, text):
    assert readable(octets) == text
