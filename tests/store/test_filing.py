"""Deliveries and appends: what rows, counters and blobs they leave."""

import errno
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from stored_mail import blob_names, spooled_names

from mailsuite.ids import new_id
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.reports.models import IncomingReport
from mailsuite.store.models import Content, Folder, Message, Usage
from mailsuite.store.operations import (
    Append,
    AppendItem,
    Deliver,
    LocalDelivery,
    Outgoing,
    RemoteRecipient,
    ReportDelivery,
)
from mailsuite.trace.models import Event, Story
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer import local_storage
from mailsuite.writer.operation import Refused, StoreBug, StoreUnavailable
from mailsuite.writer.run import Job, execute, run_jobs
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MAIL = b"From: Ann <ann@example.org>\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n"


def story(**facts):
    return StoryFacts(story_id=new_id(), kind="inbound", outcome="accepted", at=NOW, **facts)


def deliver(spooled, *mailboxes, **more):
    name = spooled(MAIL)
    local = [LocalDelivery(mailbox.pk, mailbox.address, b"Return-Path: <>\r\n") for mailbox in mailboxes]
    return Deliver(name, len(MAIL), story(reverse_path="ann@example.org"), local, **more)


def test_one_content_serves_many_mailboxes(make_mailbox, spooled):
    first, second = make_mailbox("a@example.org"), make_mailbox("b@example.org")
    execute(deliver(spooled, first, second))
    content = Content.objects.get()
    assert (content.subject, content.message_id, content.size_octets) == ("hello", "<1@example.org>", len(MAIL))
    assert Message.objects.filter(content=content).count() == 2
    with mail_storage().open(content.blob) as blob:
        assert blob.read() == MAIL
    for mailbox in (first, second):
        inbox = Folder.objects.get(mailbox=mailbox, role="inbox")
        size = len(MAIL) + len(b"Return-Path: <>\r\n")
        assert (inbox.uid_next, inbox.message_count, inbox.unseen_count, inbox.size_octets) == (2, 1, 1, size)
        assert Usage.objects.get(mailbox=mailbox).used_octets == size
    told = Story.objects.get()
    assert (told.subject, told.size_octets, told.sender_key) == ("hello", len(MAIL), "ann@example.org")
    assert sorted(Event.objects.values_list("kind", "address")) == [
        ("filed", "a@example.org"),
        ("filed", "b@example.org"),
    ]


def test_a_report_is_filed_for_its_reader(make_mailbox, spooled):
    domain = make_mailbox("a@example.org").domain
    operation = deliver(spooled, reports=[ReportDelivery("tls", domain.pk, "tls-reports@example.org")])
    execute(operation)
    report = IncomingReport.objects.get()
    assert (report.domain, report.kind, report.state) == (domain, "tls", "waiting")
    assert (report.content, report.story_id) == (Content.objects.get(), operation.story.story_id)
    event = Event.objects.get()
    assert (event.kind, event.address, event.domain_id) == ("filed", "tls-reports@example.org", domain.pk)


def test_a_mailbox_named_twice_gets_it_once(make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    execute(deliver(spooled, mailbox, mailbox))
    assert Message.objects.count() == 1


def test_spool_is_empty_afterwards(make_mailbox, spooled):
    execute(deliver(spooled, make_mailbox("a@example.org")))
    assert spooled_names() == []


def carried(operation):
    """The same with its octets in it, and no file."""
    with mail_storage().open_spooled(operation.spool) as file:
        octets = file.read()
    mail_storage().discard_spooled([operation.spool])
    return replace(operation, octets=octets)


def test_octets_that_come_along_are_filed_like_a_file(make_mailbox, spooled):
    for size in (0, 1, len(MAIL), 3_000_000):
        mail = (MAIL + b"x" * 3_000_000)[:size]
        to = make_mailbox(f"a{size}@example.org")
        execute(Deliver("name", size, story(), [LocalDelivery(to.pk, to.address, b"")], octets=mail))
        with mail_storage().open(Message.objects.get(mailbox=to).content.blob) as blob:
            assert blob.read() == mail
    assert spooled_names() == []


def test_what_a_store_that_died_left_of_a_file_is_made_anew(make_mailbox, spooled):
    operation = deliver(spooled, make_mailbox("a@example.org"))
    operation = replace(operation, octets=MAIL)
    mail_storage().put_spooled(operation.spool, MAIL[:5] + b"x" * 100)
    execute(operation)
    assert Content.objects.get().size_octets == len(MAIL)


def test_a_full_disk_files_nothing_and_leaves_nothing(make_mailbox, spooled, monkeypatch):
    def full(descriptor, octets):
        raise OSError(errno.ENOSPC, "No space left on device")

    operation = carried(deliver(spooled, make_mailbox("a@example.org")))
    monkeypatch.setattr(local_storage.os, "write", full)
    with pytest.raises(Refused, match="no room"):
        execute(operation)
    monkeypatch.undo()
    assert spooled_names() == []
    assert not Story.objects.exists()


def test_what_its_reader_could_not_make_durable_is_not_filed(make_mailbox, spooled):
    to = make_mailbox("a@example.org")
    lost, good = (Job(carried(deliver(spooled, to))) for _ in range(2))
    lost.readings[lost.operation.spool] = OSError(errno.EIO, "Input/output error")
    run_jobs([lost, good])
    assert isinstance(lost.error, StoreUnavailable) and good.error is None
    assert Message.objects.count() == 1


@pytest.mark.parametrize("make", [lambda operation: operation, carried], ids=["file", "octets"])
def test_asking_again_for_a_delivery_that_was_done_changes_nothing(make_mailbox, spooled, make):
    operation = make(deliver(spooled, make_mailbox("a@example.org")))
    execute(operation)
    execute(replace(operation, again=True))
    assert Message.objects.count() == 1
    assert Content.objects.count() == len(blob_names() + spooled_names()) == 1


def test_asking_again_amid_the_first_time_files_one(make_mailbox, spooled):
    operation = carried(deliver(spooled, make_mailbox("a@example.org")))
    jobs = [Job(operation), Job(replace(operation, spool="other", again=True))]
    run_jobs(jobs)
    assert [job.error for job in jobs] == [None, None]
    assert Message.objects.count() == 1


def test_asking_again_for_a_delivery_that_was_not_done_does_it(make_mailbox, spooled):
    execute(replace(carried(deliver(spooled, make_mailbox("a@example.org"))), again=True))
    assert Message.objects.count() == 1


def test_a_lost_spool_file_is_no_success(make_mailbox, spooled):
    operation = deliver(spooled, make_mailbox("a@example.org"))
    mail_storage().discard_spooled([operation.spool])
    with pytest.raises(StoreUnavailable):
        execute(operation)
    assert not Story.objects.exists()


def test_a_file_cut_short_is_no_success(make_mailbox, spooled):
    operation = deliver(spooled, make_mailbox("a@example.org"))
    mail_storage().put_spooled(operation.spool, MAIL[:-3])
    with pytest.raises(StoreBug):
        execute(operation)
    assert not Message.objects.exists()


def test_a_refused_delivery_leaves_no_blob(make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    Folder.objects.filter(mailbox=mailbox).delete()
    with pytest.raises(Refused, match="is gone"):
        execute(deliver(spooled, mailbox))
    assert blob_names() + spooled_names() == []


def test_remote_recipients_are_queued_in_the_same_transaction(make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    recipient = RemoteRecipient(EnvelopeRecipient("x@example.net"), "example.net")
    outgoing = Outgoing(Envelope("a@example.org", expires_at=NOW), b"Received: x\r\n", [recipient])
    execute(deliver(spooled, mailbox, outgoing=[outgoing]))
    queued = Content.objects.get().queued.get()
    assert queued.size_octets == len(MAIL) + len(b"Received: x\r\n")
    assert queued.recipients.get().state == "queued"


def test_append_returns_uids_in_order(make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    folder = Folder.objects.get(mailbox=mailbox, role="drafts")
    items = [AppendItem(spooled(MAIL), len(MAIL), 1, ["b", "a"], NOW) for _ in range(2)]
    answer = execute(Append(mailbox.pk, folder.pk, items))
    assert (answer.uid_validity, answer.uids) == (folder.uid_validity, [1, 2])
    message = Message.objects.get(uid=2)
    assert (message.flags, message.keywords, message.internal_date) == (1, "a b", NOW)


def test_append_over_quota_is_refused(make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    folder = Folder.objects.get(mailbox=mailbox, role="drafts")
    with pytest.raises(Refused) as refusal:
        execute(Append(mailbox.pk, folder.pk, [AppendItem(spooled(MAIL), len(MAIL))], quota_octets=10))
    assert refusal.value.code == "over-quota"
    assert not Message.objects.exists()


def test_append_to_somebody_elses_folder_is_refused(make_mailbox, spooled):
    mine, other = make_mailbox("a@example.org"), make_mailbox("b@example.org")
    folder = Folder.objects.get(mailbox=other, role="inbox")
    with pytest.raises(Refused) as refusal:
        execute(Append(mine.pk, folder.pk, [AppendItem(spooled(MAIL), len(MAIL))]))
    assert refusal.value.code == "nonexistent"


def test_text_that_no_database_stores_is_stored_without_it(make_mailbox, spooled):
    mail = b"Subject: a=?utf-8?q?=00b?= \xff\x00c\r\nMessage-ID: <\x00\xff@x>\r\n\r\n\x00"
    mailbox = make_mailbox("a@example.org")
    execute(Deliver(spooled(mail), len(mail), story(), [LocalDelivery(mailbox.pk, mailbox.address, b"")]))
    assert "\0" not in Content.objects.get().subject
