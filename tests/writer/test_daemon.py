"""The store service as a process of its own: batches, large messages, hints, death and return."""

import asyncio
import contextlib
import os
import secrets
import signal
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from msgspec.structs import replace
from store_process import Service, run

from mailsuite.ids import new_id
from mailsuite.store.models import Content, Folder, Message, PartialCopy
from mailsuite.store.operations import (
    Append,
    AppendItem,
    BeginCopy,
    Copy,
    CreateFolder,
    Deliver,
    EndCopy,
    LocalDelivery,
    Subscribe,
)
from mailsuite.trace.models import RefusalCount, Story
from mailsuite.trace.operations import StoryFacts, TellStory
from mailsuite.writer import daemon
from mailsuite.writer.operation import Refused, StoreBug, StoreUnavailable
from mailsuite.writer.storage import mail_storage
from mailsuite.writer.telling import tell_service

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    service.start()
    yield service
    service.stop()


def delivery(mailbox, spooled, octets=b"Subject: x\r\n\r\n"):
    facts = StoryFacts(new_id(), "inbound", "accepted", datetime.now(UTC))
    return Deliver(spooled(octets), len(octets), facts, [LocalDelivery(mailbox.pk, mailbox.address, b"")])


def test_a_second_store_leaves_the_first_alone(service, tmp_path, monkeypatch):
    """It swept what the first was receiving, and took its socket with it when it ended: no mail came in any more."""
    monkeypatch.setattr(daemon, "TURN_SECONDS", 0.0)
    assert daemon._take_lock(service.path) is None
    assert service._answers()
    service.stop()
    lock = daemon._take_lock(service.path)
    assert lock is not None
    os.close(lock)


def test_many_at_once_are_all_filed(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    operations = [delivery(mailbox, spooled) for _ in range(200)]
    run(service, lambda client: asyncio.gather(*map(client.run, operations)))
    assert sorted(Message.objects.values_list("uid", flat=True)) == list(range(1, 201))


def test_one_that_fails_fails_alone(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    good, lost = [delivery(mailbox, spooled) for _ in range(20)], delivery(mailbox, spooled)
    mail_storage().discard_spooled([lost.spool])
    wrong = delivery(mailbox, spooled)
    wrong = Deliver(wrong.spool, wrong.size_octets, StoryFacts(1, "x" * 99, "accepted", datetime.now(UTC)), wrong.local)
    doubled = Deliver(spooled(b"\r\n"), 2, StoryFacts(good[0].story.story_id, "inbound", "accepted", wrong.story.at))

    async def work(client):
        return await asyncio.gather(*map(client.run, [*good, lost, doubled]), return_exceptions=True)

    answers = run(service, work)
    assert answers[:20] == [None] * 20
    assert isinstance(answers[20], StoreUnavailable)
    assert isinstance(answers[21], StoreBug)
    assert Message.objects.count() == 20


def test_refusals_reach_the_asker(service, make_mailbox):
    mailbox = make_mailbox("a@example.org")
    with pytest.raises(Refused) as refusal:
        run(service, lambda client: client.run(CreateFolder(mailbox.pk, "INBOX")))
    assert (refusal.value.code, bool(refusal.value.text)) == ("exists", True)


def test_a_large_message_is_read_by_a_child_and_keeps_nobody_waiting(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    large = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 50_000

    async def work(client):
        big = asyncio.ensure_future(client.run(delivery(mailbox, spooled, large)))
        await client.run(delivery(mailbox, spooled))
        assert not big.done()
        await big

    run(service, work)
    assert Content.objects.get(subject="large").size_octets == len(large)


def test_watchers_are_told_of_changes(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    inbox, drafts = (Folder.objects.get(mailbox=mailbox, role=role) for role in ("inbox", "drafts"))

    async def work(client):
        told, event = set(), asyncio.Event()
        await client.watch(lambda hint: (told.update(hint.folder_ids), event.set()))
        await client.run(delivery(mailbox, spooled))
        await client.run(Append(mailbox.pk, drafts.pk, [AppendItem(spooled(b"\r\n"), 2)]))
        while told != {inbox.pk, drafts.pk}:
            event.clear()
            await event.wait()

    run(service, work)


def test_those_who_write_for_themselves_can_tell(service, make_mailbox, settings):
    async def work(client):
        told = asyncio.get_running_loop().create_future()
        await client.watch(lambda hint: told.done() or told.set_result(hint.folder_ids))
        await client.run(Subscribe(make_id, "x", True))
        await asyncio.to_thread(tell_service, [42])
        assert await told == [42]

    make_id = make_mailbox("a@example.org").pk
    import dataclasses

    settings.MAILSUITE = dataclasses.replace(settings.MAILSUITE, data=service.path.parent.parent)
    run(service, work)


def test_a_killed_service_comes_back_and_nothing_is_doubled(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    operations = [delivery(mailbox, spooled) for _ in range(300)]
    for number, operation in enumerate(operations):
        if number % 2:
            mail_storage().discard_spooled([operation.spool])
            operations[number] = replace(operation, octets=b"Subject: x\r\n\r\n")

    async def work(client):
        await client.run(operations[0])
        rest = asyncio.gather(*map(client.run, operations[1:]), return_exceptions=True)
        await asyncio.sleep(0)
        service.stop(signal.SIGKILL)
        service.start()
        return await rest

    answers = run(service, work)
    filed = dict.fromkeys(Story.objects.values_list("pk", flat=True), 0)
    for story_id in Message.objects.values_list("story_id", flat=True):
        filed[story_id] += 1
    assert set(filed.values()) == {1}
    for operation, answer in zip(operations[1:], answers, strict=True):
        assert answer is not None or operation.story.story_id in filed


def test_sigterm_finishes_what_was_asked(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    octets = b"\r\n" + b"x" * 3_000_000

    async def work(client):
        waiting = asyncio.ensure_future(client.run(delivery(mailbox, spooled, octets)))
        await client.run(Subscribe(mailbox.pk, "x", True))
        service.process.send_signal(signal.SIGTERM)
        await waiting

    run(service, work)
    assert service.process.wait(20) == 0
    assert Message.objects.count() == 1


def test_the_end_of_the_parent_ends_it(service, make_mailbox):
    mailbox = make_mailbox("a@example.org")
    run(service, lambda client: client.run(Subscribe(mailbox.pk, "x", True)))
    service.process.stdin.close()
    assert service.process.wait(20) == 0


def test_nonsense_on_the_socket_ends_that_connection_only(service, make_mailbox):
    mailbox = make_mailbox("a@example.org")

    async def work(client):
        await client.run(Subscribe(mailbox.pk, "x", True))
        reader, writer = await asyncio.open_unix_connection(str(service.path))
        writer.write((5).to_bytes(4) + b"\xc1\xc1\xc1\xc1\xc1")
        assert await reader.read() == b""
        writer.close()
        await client.run(Subscribe(mailbox.pk, "y", True))

    run(service, work)


def test_refusals_above_the_rate_become_one_row_with_a_count(service, make_mailbox):
    mailbox = make_mailbox("a@example.org")
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)

    async def work(client):
        # Connected, it sends in the order in which it was asked: what is asked last is answered after all were heard.
        await client.run(Subscribe(mailbox.pk, "v", True))
        for _ in range(50):
            facts = StoryFacts(new_id(), "inbound", "refused", at, "unknown", data=secrets.token_hex(4))
            client.send(TellStory(facts, "192.0.2.0/24"))
        facts = StoryFacts(new_id(), "inbound", "refused", at, "unknown", data="1000 more were turned away")
        client.send(TellStory(facts, "192.0.2.0/24", 1000))
        await client.run(Subscribe(mailbox.pk, "x", True))

    run(service, lambda client: client.run(Subscribe(mailbox.pk, "w", True)))
    run(service, work)
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(20)
    assert Story.objects.filter(reason="unknown").count() == 10
    assert RefusalCount.objects.get().count == 1040


@pytest.mark.postgresql_only
def test_a_database_connection_that_breaks_is_made_anew(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")

    async def work(client):
        await client.run(delivery(mailbox, spooled))
        await asyncio.to_thread(end_other_connections)
        await asyncio.gather(*(client.run(delivery(mailbox, spooled)) for _ in range(5)))

    try:
        run(service, work)
    finally:
        connection.close()
    assert Message.objects.count() == 6
    for blob in Content.objects.values_list("blob", flat=True):
        mail_storage().open(blob).close()


def end_other_connections():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()


def test_spool_names_cannot_leave_the_spool(service, make_mailbox):
    mailbox = make_mailbox("a@example.org")
    secret = settings.MAILSUITE.data / "secret.key"
    octets = secret.read_bytes()
    operation = Deliver("../../secret.key", 65, StoryFacts(new_id(), "inbound", "accepted", datetime.now(UTC)))
    inbox = Folder.objects.get(mailbox=mailbox, role="inbox")
    for bad in (
        operation,
        replace(operation, octets=b"x" * 65),
        Append(mailbox.pk, inbox.pk, [AppendItem("../../secret.key", 65)]),
    ):
        with pytest.raises(StoreBug):
            run(service, lambda client, bad=bad: client.run(bad))
    assert secret.read_bytes() == octets


def test_a_copy_that_the_service_was_killed_amid_is_undone_by_the_next(service, make_mailbox, spooled):
    mailbox = make_mailbox("a@example.org")
    inbox, archive = (Folder.objects.get(mailbox=mailbox, role=role).pk for role in ("inbox", "archive"))

    def expire():
        if connection.vendor != "sqlite":  # another host's service may serve who copies: there its time must be over
            PartialCopy.objects.update(expires_at=timezone.now())
        connection.close()

    def is_unfinished():
        try:
            return PartialCopy.objects.exists()
        finally:
            connection.close()

    async def work(client):
        for _ in range(6):
            await client.run(delivery(mailbox, spooled))
        copy_id = new_id()
        await client.run(BeginCopy(mailbox.pk, copy_id, archive, 6 * 15))
        for uids in ([1, 2], [3, 4]):
            await client.run(Copy(mailbox.pk, inbox, archive, uids, copy_id=copy_id))
        service.stop(signal.SIGKILL)
        await asyncio.to_thread(expire)
        service.start()
        while await asyncio.to_thread(is_unfinished):
            with contextlib.suppress(StoreUnavailable):  # of the one that was killed
                await client.run(Subscribe(mailbox.pk, "x", True))
        with pytest.raises(Refused):
            await client.run(EndCopy(mailbox.pk, copy_id))

    run(service, work)
    assert list(Message.objects.values_list("folder_id", flat=True)) == [inbox] * 6
    mailbox.usage.refresh_from_db()
    assert mailbox.usage.message_count == 6
    assert mailbox.usage.used_octets == sum(Message.objects.values_list("size_octets", flat=True))
