"""What nobody waits for any longer is not done, and not done later: late operations are withdrawn, doubtful ones taken
back. No client that heard 451 and came again has its mail twice."""

import asyncio
import fcntl
import os
import secrets
import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

import pytest
from django.db import connection, connections
from django.utils import timezone
from msgspec.structs import replace
from store_process import Service, run

from mailsuite.ids import new_id
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.store.chores import do_chores
from mailsuite.store.models import Folder, MaildropLease, Message, Usage
from mailsuite.store.operations import (
    Append,
    AppendItem,
    BeginCopy,
    Copy,
    CreateFolder,
    Deliver,
    EndCopy,
    LeaseMaildrop,
    LocalDelivery,
    Outgoing,
    RemoteRecipient,
    ReopenCopy,
    StoreFlags,
    Subscribe,
)
from mailsuite.trace.models import Event, Story
from mailsuite.trace.operations import StoryFacts
from mailsuite.writer import client as client_module
from mailsuite.writer.operation import StoreUnavailable
from mailsuite.writer.run import Job, execute, run_jobs
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True)
MAIL = b"Subject: x\r\n\r\nbody\r\n"


class TimedJob(Job):
    """A job whose time is over when it is asked about that for the `late_at`-th time, and whose asker has then gone."""

    __slots__ = ("_answers", "_given_up")

    def __init__(self, operation, late_at=10**9, *, given_up=False):
        super().__init__(operation)
        self._answers, self._given_up = chain(repeat(False, late_at), repeat(True)), given_up

    def is_late(self):
        return next(self._answers)

    def is_given_up(self):
        return self._given_up


@pytest.fixture(scope="module")
def running(tmp_path_factory, django_db_setup, django_db_blocker):
    """One service for all: what it files is looked at by its rows alone."""
    with django_db_blocker.unblock():
        service = Service(tmp_path_factory.mktemp("store"))
        mail_storage().prepare()
        service.start()
    yield service
    service.stop()


@pytest.fixture
def service(running):
    yield running
    running.process.send_signal(signal.SIGCONT)


@pytest.fixture
def impatient(monkeypatch):
    """Clients that wait for a moment only."""
    monkeypatch.setattr(client_module, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "_seconds", lambda operation: 0.2)


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(client_module, "_seconds", lambda operation: 30.0)


def carried(*mailboxes, remote=(), spool=""):
    local = [LocalDelivery(mailbox.pk, mailbox.address, b"X: y\r\n", mailbox.domain_id) for mailbox in mailboxes]
    now = datetime.now(UTC)
    recipients = [RemoteRecipient(EnvelopeRecipient(path), path.partition("@")[2]) for path in remote]
    outgoing = (
        [Outgoing(Envelope("a@example.org", expires_at=now + timedelta(days=5)), b"", recipients)] if remote else []
    )
    operation = Deliver.carrying(MAIL, StoryFacts(new_id(), "inbound", "accepted", now), local=local, outgoing=outgoing)
    return replace(operation, spool=spool, octets=None) if spool else operation


def usage(mailbox):
    return Usage.objects.values_list("used_octets", "message_count").get(mailbox=mailbox)


def item():
    return AppendItem(secrets.token_hex(8), len(MAIL), octets=MAIL)


def inbox(mailbox):
    return Folder.objects.get(mailbox=mailbox, role="inbox")


async def withdrawn(client):
    """Return when nothing is in doubt any more, which may be the case already."""
    if client._withdrawing:
        await client._withdrawing


def test_what_is_late_is_not_begun_and_keeps_nobody_from_theirs(mailbox):
    late, good = Job(carried(mailbox), deadline=time.monotonic() - 1), Job(carried(mailbox))
    run_jobs([late, good])
    assert isinstance(late.error, StoreUnavailable) and good.error is None
    assert list(Message.objects.values_list("story_id", flat=True)) == [good.operation.story.story_id]
    assert not late.files


@pytest.mark.parametrize("late_at", [1, 2])
def test_what_is_late_before_the_commit_is_not_committed_and_the_others_are_once(mailbox, late_at):
    late, good = TimedJob(carried(mailbox), late_at), [TimedJob(carried(mailbox)) for _ in range(3)]
    run_jobs([good[0], late, *good[1:]])
    assert isinstance(late.error, StoreUnavailable) and [job.error for job in good] == [None] * 3
    assert sorted(Message.objects.values_list("uid", "story_id")) == [
        (number, job.operation.story.story_id) for number, job in enumerate(good, 1)
    ]
    assert usage(mailbox)[1] == 3


def test_a_delivery_whose_commit_took_too_long_is_taken_back(make_mailbox):
    first, second = make_mailbox("a@example.org"), make_mailbox("b@example.org")
    job = TimedJob(carried(first, second, remote=["x@far.test"]), given_up=True)
    told = run_jobs([job])
    assert isinstance(job.error, StoreUnavailable)
    assert (Message.objects.count(), QueuedMessage.objects.count(), QueuedRecipient.objects.count()) == (0, 0, 0)
    assert usage(first) == usage(second) == (0, 0)
    assert told.hints == {inbox(first).pk, inbox(second).pk}
    assert (inbox(first).message_count, inbox(first).uid_next) == (0, 2)
    assert Story.objects.values_list("outcome", "reason").get() == ("deferred", "too-late")
    assert Event.objects.filter(kind="withdrawn").count() == 1


def test_what_somebody_has_begun_to_send_on_is_not_taken_back_and_the_others_are(mailbox):
    begun, done, untouched = (carried(mailbox, remote=["x@far.test", f"y@{n}.test"]) for n in ("a", "b", "c"))
    for operation in (begun, done, untouched):
        execute(operation)
    tried = QueuedRecipient.objects.filter(forward_path="x@far.test", message__story_id__lt=untouched.story.story_id)
    tried.update(attempt_count=1)
    tried.filter(message__story_id=done.story.story_id).update(state="delivered", settled_at=timezone.now())
    for operation in (begun, done, untouched):
        execute(operation.withdrawal())
    assert list(QueuedRecipient.objects.values_list("forward_path", "message__story_id")) == [
        ("x@far.test", operation.story.story_id) for operation in (begun, done)
    ]
    assert not Message.objects.exists()
    # What waits for nobody any more is forgotten in its time.
    unsettled = QueuedMessage.objects.filter(settled_at=None)
    assert list(unsettled.values_list("story_id", flat=True)) == [begun.story.story_id]


def test_late_appends_copies_and_locks_are_taken_back(mailbox):
    folder = inbox(mailbox)
    kept = execute(Append(mailbox.pk, folder.pk, [AppendItem("kept", len(MAIL), octets=MAIL)])).uids
    before = usage(mailbox)
    sent = execute(CreateFolder(mailbox.pk, "copies"))
    for operation in (
        Append(mailbox.pk, folder.pk, [AppendItem("late", len(MAIL), octets=MAIL)]),
        Copy(mailbox.pk, folder.pk, sent, kept),
        LeaseMaildrop(mailbox.pk, "token"),
    ):
        job = TimedJob(operation, given_up=True)
        run_jobs([job])
        assert isinstance(job.error, StoreUnavailable)
    assert list(Message.objects.values_list("folder_id", "uid")) == [(folder.pk, kept[0])]
    assert usage(mailbox) == before
    assert not MaildropLease.objects.exists()


def test_what_does_no_harm_when_it_was_done_stays(mailbox):
    folder = inbox(mailbox)
    execute(Append(mailbox.pk, folder.pk, [AppendItem("one", len(MAIL), octets=MAIL)]))
    job = TimedJob(StoreFlags(mailbox.pk, folder.pk, [1], "add", 1), given_up=True)
    run_jobs([job])
    assert isinstance(job.error, StoreUnavailable)
    assert Message.objects.get().flags == 1


def test_a_stopped_service_is_not_waited_for_and_does_nothing_late(service, mailbox, spooled, impatient, monkeypatch):
    monkeypatch.setattr(client_module, "WITHDRAW_AGAIN_SECONDS", 0.05)
    folder_id = inbox(mailbox).pk

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        service.process.send_signal(signal.SIGSTOP)
        asked = [client.run(operation) for operation in (carried(mailbox), carried(mailbox, spool=spooled(MAIL)))]
        asked.append(client.run(Append(mailbox.pk, folder_id, [item()])))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
        service.process.send_signal(signal.SIGCONT)
        await withdrawn(client)

    run(service, work)
    assert Message.objects.count() == 0
    assert usage(mailbox) == (0, 0)


@pytest.mark.sqlite_only
def test_a_write_lock_that_another_holds_keeps_nobody_waiting_and_doubles_nothing(service, mailbox, impatient):
    path = os.path.join(os.path.dirname(connection.settings_dict["NAME"]), "write.lock")
    _held_by_another(service, mailbox, hold=lambda: _lock_file(path), let_go=os.close)


@pytest.mark.postgresql_only
def test_a_table_that_another_holds_keeps_nobody_waiting_and_doubles_nothing(service, mailbox, impatient):
    _held_by_another(service, mailbox, hold=_lock_table, let_go=lambda other: other.close())


def _held_by_another(service, mailbox, hold, let_go):
    first, again = carried(mailbox), carried(mailbox)

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        held = await asyncio.to_thread(hold)
        with pytest.raises(StoreUnavailable):
            await client.run(first)
        await asyncio.to_thread(let_go, held)
        client_module._seconds = lambda operation: 30.0
        await client.run(again)

    run(service, work)
    assert list(Message.objects.values_list("story_id", flat=True)) == [again.story.story_id]


def _lock_file(path):
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _lock_table():
    other = connections.create_connection("default")
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE store_usage IN ACCESS EXCLUSIVE MODE")
    other.inc_thread_sharing()
    return other


def test_a_delivery_whose_answer_was_lost_for_good_is_withdrawn(service, mailbox, make_mailbox, patient):
    """The store committed and died; nobody was there to ask in time, so the client was told to come again."""
    operation, other = carried(mailbox), make_mailbox("b@example.org")
    execute(operation)
    execute(carried(other))

    async def work(client):
        client.withdraw(operation.withdrawal())
        await withdrawn(client)

    run(service, work)
    assert list(Message.objects.values_list("mailbox_id", flat=True)) == [other.pk]


def test_appends_and_copies_whose_answer_was_lost_for_good_are_withdrawn(service, mailbox, patient):
    """The same: the service is killed with the rows committed, and nothing said."""
    folder_id, archive_id = inbox(mailbox).pk, Folder.objects.get(mailbox=mailbox, role="archive").pk
    kept = execute(Append(mailbox.pk, folder_id, [item()])).uids
    before = usage(mailbox)
    lost = [
        Append(mailbox.pk, folder_id, [item(), item()]),
        Copy(mailbox.pk, folder_id, archive_id, kept, message_ids=[new_id()]),
    ]

    def commit():
        moved = execute(lost[0]).uids[0]
        execute(lost[1])
        execute(Copy(mailbox.pk, folder_id, archive_id, [moved], move=True))  # withdrawn all the same
        connection.close()

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        service.process.send_signal(signal.SIGSTOP)
        asking = [asyncio.ensure_future(client.run(operation)) for operation in lost]
        await asyncio.to_thread(commit)
        service.stop(signal.SIGKILL)
        assert [type(one) for one in await asyncio.gather(*asking, return_exceptions=True)] == [StoreUnavailable] * 2
        await asyncio.to_thread(service.start)
        await withdrawn(client)

    run(service, work)
    assert list(Message.objects.values_list("folder_id", "uid")) == [(folder_id, kept[0])]
    assert usage(mailbox) == before


def test_what_is_in_doubt_when_its_asker_ends_is_withdrawn_first(service, mailbox, patient):
    operation = carried(mailbox)
    execute(operation)

    async def work(client):
        client.withdraw(operation.withdrawal())

    run(service, work)
    assert not Message.objects.exists()


def test_a_large_copy_whose_end_got_no_answer_is_undone(service, mailbox, patient):
    folder_id, archive_id = inbox(mailbox).pk, Folder.objects.get(mailbox=mailbox, role="archive").pk
    kept, copy_id = execute(Append(mailbox.pk, folder_id, [item()])).uids, new_id()
    for operation in (
        BeginCopy(mailbox.pk, copy_id, archive_id, len(MAIL)),
        Copy(mailbox.pk, folder_id, archive_id, kept, copy_id=copy_id),
        EndCopy(mailbox.pk, copy_id),
    ):
        execute(operation)

    async def work(client):
        client.withdraw(ReopenCopy(mailbox.pk, copy_id))
        await withdrawn(client)

    run(service, work)
    do_chores(timezone.now())
    assert list(Message.objects.values_list("folder_id", "uid")) == [(folder_id, kept[0])]


def test_what_a_client_asked_for_that_was_cut_off_is_dropped(service, mailbox, patient):
    """It may be there still, and have withdrawn it over another connection."""
    folder_id = inbox(mailbox).pk

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        service.process.send_signal(signal.SIGSTOP)
        asking = asyncio.ensure_future(client.run(Append(mailbox.pk, folder_id, [item()])))
        await asyncio.sleep(0)
        client._transport.close()
        await asyncio.gather(asking, return_exceptions=True)
        service.process.send_signal(signal.SIGCONT)
        await withdrawn(client)
        await client.run(Subscribe(mailbox.pk, "y", True))

    run(service, work)
    assert not Message.objects.exists() and inbox(mailbox).uid_next == 1


def test_what_an_asker_who_left_no_longer_wants_is_dropped(service, mailbox, patient):
    """Its request waits behind a service that is stopped."""
    folder_id = inbox(mailbox).pk

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        service.process.send_signal(signal.SIGSTOP)
        asking = asyncio.ensure_future(client.run(Append(mailbox.pk, folder_id, [item()])))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        service.process.send_signal(signal.SIGCONT)
        await client.run(Subscribe(mailbox.pk, "y", True))

    run(service, work)
    assert not Message.objects.exists()


def test_a_service_that_does_not_read_is_not_fed_without_end(service, mailbox, patient, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_UNSENT_OCTETS", 1 << 20)

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        service.process.send_signal(signal.SIGSTOP)
        large = [AppendItem(secrets.token_hex(8), 100_000, octets=b"x" * 100_000) for _ in range(40)]
        asking = [asyncio.ensure_future(client.run(Append(mailbox.pk, 1, [one]))) for one in large]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert client._transport.get_write_buffer_size() < (1 << 20) + 200_000
        for task in asking:
            task.cancel()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert any(isinstance(answer, StoreUnavailable) for answer in answers)
        service.process.send_signal(signal.SIGCONT)
        monkeypatch.undo()
        await client.run(Subscribe(mailbox.pk, "y", True))

    run(service, work)
