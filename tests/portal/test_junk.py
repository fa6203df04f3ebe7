"""The owner's page on junk: what is known, and forgetting it; never another's."""

from datetime import UTC, datetime

import pytest

from mailsuite.directory.models import Mailbox
from mailsuite.junk.models import Sender, WordTable
from mailsuite.junk.words import Words

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def mailbox(ann):
    return Mailbox.objects.get(user=ann)


@pytest.fixture
def known(mailbox):
    WordTable.objects.create(
        id=mailbox.pk, mailbox=mailbox, wanted_count=3, junk_count=25, changed_at=NOW, counts=Words().encode()
    )
    return Sender.objects.create(mailbox=mailbox, rung="from", key="eve@shop.example", junked=2, changed_at=NOW)


def test_it_tells_what_is_known(signed_in, known):
    page = signed_in.get("/junk").content.decode()
    assert "eve@shop.example" in page and "unwanted" in page and "junk 2 times" in page
    assert "neutral until it has seen 17 more wanted" in page


def test_forgetting(signed_in, known, mailbox):
    assert signed_in.get(f"/mailboxes/{mailbox.pk}/forget-words").status_code == 405
    assert signed_in.post(f"/mailboxes/{mailbox.pk}/forget-words").status_code == 302
    assert WordTable.objects.get(pk=mailbox.pk).junk_count == 0
    signed_in.post(f"/mailboxes/{mailbox.pk}/senders/{known.pk}/forget")
    assert not Sender.objects.exists()


def test_all_senders_are_forgotten_at_once(signed_in, known, mailbox):
    signed_in.post(f"/mailboxes/{mailbox.pk}/forget-senders")
    assert not Sender.objects.exists()


@pytest.mark.parametrize("path", ["forget-words", "forget-senders", "senders/{}/forget"])
def test_anothers_is_not_to_be_forgotten(signed_in, known, mailbox, path):
    Mailbox.objects.filter(pk=mailbox.pk).update(user=admin_id())
    url = f"/mailboxes/{mailbox.pk}/{path.format(known.pk)}"
    assert signed_in.post(url).status_code in (302, 404)
    assert Sender.objects.exists() and WordTable.objects.get(pk=mailbox.pk).junk_count == 25


def admin_id():
    from mailsuite.directory.models import User

    return User.objects.get(email="admin@localhost").pk
