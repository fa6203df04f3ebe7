"""The sweep removes what no row names, and only that, however the moments fall."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from stored_mail import blob_names, spooled_names

from mailsuite.ids import new_id
from mailsuite.reports.models import IncomingReport
from mailsuite.store import flags
from mailsuite.store import sweep as sweeping
from mailsuite.store.models import Content, Folder, Message, OrphanBlob
from mailsuite.store.operations import (
    Append,
    AppendItem,
    Copy,
    Deliver,
    Expunge,
    LeaseMaildrop,
    ReleaseMaildrop,
    ReportDelivery,
)
from mailsuite.store.sweep import sweep, sweep_if_pressed, sweep_spool
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1, seconds=1)


@pytest.fixture
def kept(make_mailbox, spooled):
    """A folder with one message; `age` makes its blob and row older."""
    mailbox = make_mailbox("a@example.org")
    inbox = Folder.objects.get(mailbox=mailbox, role="inbox")
    execute(Append(mailbox.pk, inbox.pk, [AppendItem(spooled(b"\r\n"), 2, flags.DELETED)]))
    return inbox


def age(days: float) -> datetime:
    """Makes everything that much older; returns now."""
    now = datetime.now(UTC)
    then = now - timedelta(days=days)
    Content.objects.update(received_at=then)
    for name in blob_names():
        path = os.path.join(mail_storage().location, name)
        os.utime(path, (then.timestamp(), then.timestamp()))
    return now


def put_stray(number: int = 0) -> str:
    """A blob that no row names; returns its name."""
    mail_storage().put_spooled("stray", b"")
    name = f"{os.path.dirname(blob_names()[0])}/stray{number}"
    mail_storage().adopt([("stray", name)])
    return name


def test_what_a_folder_holds_stays(kept):
    now = age(30)
    for day in range(5):
        assert sweep(now + day * DAY) == 0
    assert len(blob_names()) == Content.objects.count() == 1


def test_what_the_report_reader_has_not_read_stays(kept, spooled):
    operation = Deliver(
        spooled(b"\r\n"), 2, StoryFacts(new_id(), "inbound", "accepted", datetime.now(UTC)),
        reports=[ReportDelivery("dmarc", kept.mailbox.domain_id, "dmarc-reports@example.org")],
    )  # fmt: skip
    execute(operation)
    now = age(30)
    assert sweep(now) == 0 and len(blob_names()) == 2
    IncomingReport.objects.update(content=None)
    for day in range(3):
        sweep(now + day * DAY)
    assert len(blob_names()) == 1


def test_what_was_expunged_goes_after_days_not_at_once(kept):
    execute(Expunge(kept.mailbox_id, kept.pk, [1]))
    now = age(2)
    assert sweep(now) == 0
    assert not Content.objects.exists()
    assert sweep(now + DAY) == 0
    assert len(blob_names()) == 1
    assert sweep(now + 2 * DAY) == 1
    assert blob_names() == []
    assert not OrphanBlob.objects.exists()


def test_what_a_pop3_session_shows_stays_until_its_end(kept):
    execute(LeaseMaildrop(kept.mailbox_id, "one", seconds=30 * 86_400))
    execute(Expunge(kept.mailbox_id, kept.pk, [1]))
    now = age(30)
    for day in range(5):
        assert sweep(now + day * DAY) == 0
    assert len(blob_names()) == Content.objects.count() == 1
    execute(ReleaseMaildrop(kept.mailbox_id, "one"))
    assert sum(sweep(now + day * DAY) for day in range(5, 8)) == 1
    assert blob_names() == [] and not Content.objects.exists()


def test_what_a_dead_pop3_session_showed_goes(kept):
    execute(LeaseMaildrop(kept.mailbox_id, "one"))
    execute(Expunge(kept.mailbox_id, kept.pk, [1]))
    now = age(2)
    assert sum(sweep(now + day * DAY) for day in range(1, 4)) == 1


def test_what_is_copied_before_it_goes_stays(kept):
    archive = Folder.objects.get(role="archive")
    execute(Copy(kept.mailbox_id, kept.pk, archive.pk, [1]))
    execute(Expunge(kept.mailbox_id, kept.pk, [1]))
    now = age(2)
    for day in range(4):
        sweep(now + day * DAY)
    assert len(blob_names()) == 1


def test_a_young_blob_without_a_row_is_left_alone(kept):
    stray = put_stray()
    for hours in (0, 1, 23):
        sweep(datetime.now(UTC) + timedelta(hours=hours))
    assert stray in blob_names()


def test_a_marked_blob_that_a_restored_row_names_again_stays(kept):
    content, message = Content.objects.values().get(), Message.objects.values().get()
    execute(Expunge(kept.mailbox_id, kept.pk, [1]))
    now = age(2)
    sweep(now)
    Content.objects.create(**content)
    Message.objects.create(**message | {"uid": 2})
    for day in range(1, 5):
        sweep(now + day * DAY)
    assert len(blob_names()) == 1
    assert not OrphanBlob.objects.exists()


def test_a_hundred_thousand_expunged_messages_cost_no_hundred_thousand_commits(kept, django_assert_max_num_queries):
    for number in range(60):
        put_stray(number)
    now = age(2)
    for day in range(2):
        sweep(now + day * DAY)
    with django_assert_max_num_queries(20):
        assert sweep(now + 2 * DAY) == 60
    assert len(blob_names()) == 1
    assert not OrphanBlob.objects.exists()


def test_only_old_spool_files_are_swept(spooled):
    old, young = spooled(b"x"), spooled(b"y")
    os.utime(os.path.join(mail_storage().location, "spool", old), (0, 0))
    assert sweep_spool() == 1
    assert spooled_names() == [young]


def test_where_room_is_wanted_minutes_must_do(kept, monkeypatch):
    execute(Expunge(kept.mailbox_id, kept.pk, [1]))
    now, minutes = age(6 / (24 * 60)), timedelta(minutes=6)
    assert sweep_if_pressed(now) == 0 and len(blob_names()) == Content.objects.count() == 1
    monkeypatch.setattr(sweeping, "PRESSED_OCTETS", 1 << 62)
    assert [sweep_if_pressed(now + number * minutes) for number in range(3)] == [0, 0, 1]
    assert blob_names() == []


def test_a_content_is_held_by_every_table_that_names_it():
    assert {relation.related_model.__name__ for relation in sweeping._holders()} == {
        *("Message", "DepartedMessage", "QueuedMessage", "IncomingReport"),
    }
