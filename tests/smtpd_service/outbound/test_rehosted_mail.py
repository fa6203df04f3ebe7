"""Mail that waited for a domain which is hosted here meanwhile: who gets it, once, and what its story says."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connections
from queued_mail import MESSAGE, enqueue, forget_the_directory

from mailsuite.directory.models import KEPT_REMOVED, Domain, User
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail import srs
from mailsuite.mail.address import parse_address
from mailsuite.pipeline import own_mail
from mailsuite.provisioning.aliases import add_alias
from mailsuite.provisioning.domains import add_domain, set_domain_state
from mailsuite.provisioning.mailboxes import add_mailbox
from mailsuite.provisioning.removal import remove_domain, remove_mailbox
from mailsuite.provisioning.restoring import restore_domain
from mailsuite.queue import giving, kept, services
from mailsuite.queue.models import QueuedMessage, QueuedRecipient
from mailsuite.queue.operations import ClaimDue, Settle
from mailsuite.secrets import site_keys
from mailsuite.store.models import Folder, Message, Usage
from mailsuite.store.operations import KEPT
from mailsuite.store.sweep import sweep
from mailsuite.trace.models import Event
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage
from smtpd_service.outbound.queue_reader import QueueReader
from smtpd_service.outbound.rehosted_mail import RehostedMail
from smtpd_service.outbound.results import judge
from smtpd_service.outbound.retry import RetryPlan
from smtpd_service.outbound.worker import Worker

__all__ = ["enqueue", "forget_the_directory"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

NOW = datetime.now(UTC)
PASSWORD = "a long enough password"


class HereStore:
    """The store's operations, run in a thread of this process."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1)

    async def run(self, operation):
        return await self.ask(lambda: execute(operation))

    async def ask(self, question):
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    def close(self):
        self._thread.submit(connections.close_all)
        self._thread.shutdown()


def no_courier(_hop):
    raise AssertionError("this mail must not go out")


def rehosted():
    return RehostedMail(settings.MAILSUITE.hostname, mail_storage(), site_keys("srs"))


def work(settled=1):
    """A worker takes what is due until so many recipients are settled."""

    async def run():
        store, reader, ended = HereStore(), QueueReader(rehosted()), asyncio.Event()
        worker = Worker(
            store=store,
            reader=reader,
            new_courier=no_courier,
            storage=mail_storage(),
            plan=RetryPlan([timedelta(hours=1)]),
            token="token",
        )
        running = asyncio.create_task(worker.run(ended))
        try:
            async with asyncio.timeout(20):
                while await store.ask(settled_count) < settled:  # noqa: ASYNC110 - of rows, which set no event
                    await asyncio.sleep(0.01)
        finally:
            ended.set()
            await running
            reader.close()
            store.close()

    def settled_count():
        return QueuedRecipient.objects.exclude(settled_at=None).count()

    asyncio.run(run())


def settle_by_hand(meanwhile=lambda: None):
    """One claim and its settling, as the worker does them, without waiting for what it queues."""
    now, plan = datetime.now(UTC), RetryPlan([timedelta(hours=1)])
    claims = execute(ClaimDue("token", 10, 1200))
    found = rehosted().find(claims)
    meanwhile()
    deliveries = [found[claim.recipient_id] for claim in claims]
    verdicts = [
        judge(claim, delivery, relayed=False, now=now, plan=plan, random=lambda: 0.5)
        for claim, delivery in zip(claims, deliveries, strict=True)
    ]
    execute(Settle("token", [verdict.result for verdict in verdicts]))
    return deliveries


def inbox(address):
    return list(Message.objects.filter(folder__mailbox__address=address, folder__role="inbox").order_by("uid"))


def octets(blob):
    with mail_storage().open(blob) as file:
        return file.read()


def told(message, *kinds):
    events = Event.objects.filter(story_id=message.story_id, kind__in=kinds).order_by("pk")
    return [(event.kind, event.address, event.text) for event in events]


@pytest.fixture
def hosted(db):
    """Hosts example.org with ann's mailbox, and gives what hosts another domain."""
    add_domain("example.org")
    add_mailbox("ann@example.org", PASSWORD)
    return add_domain


def test_it_is_filed_in_the_mailbox_octet_for_octet(hosted, enqueue):
    message = enqueue("bob@new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    work()
    [filed] = inbox("bob@new.test")
    head = b"Return-Path: <ann@example.org>\r\nDelivered-To: bob@new.test\r\nReceived: from client by us\r\n"
    assert bytes(filed.prefix) == head
    assert octets(filed.content.blob) == MESSAGE
    assert filed.size_octets == len(head) + len(MESSAGE) == Usage.objects.get(mailbox=filed.mailbox_id).used_octets
    assert filed.story_id == message.story_id
    text = "the domain is hosted here by now, so the message did not go out"
    assert told(message, "filed", "delivered", "failed") == [
        ("filed", "bob@new.test", "into INBOX"),
        ("delivered", "bob@new.test", text),
    ]
    message.refresh_from_db()
    assert message.settled_at is not None
    # The blob outlives the queue's row.
    message.delete()
    sweep(datetime.now(UTC) + timedelta(days=30))
    assert octets(filed.content.blob) == MESSAGE


def test_an_unknown_recipient_bounces_as_such(hosted, enqueue):
    message = enqueue("nobody@new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    work()
    [row] = message.recipients.all()
    assert (row.state, row.attempts.get().enhanced_code) == ("failed", "5.1.1")
    [dsn] = inbox("ann@example.org")
    assert dsn.content.subject == "Not delivered: Hello"
    assert b"Status: 5.1.1\r\n" in octets(dsn.content.blob)


def test_a_mailbox_that_has_it_already_does_not_get_it_again(hosted, enqueue):
    """Recipients may be claimed one by one, by workers that know nothing of each other."""
    enqueue("bob@new.test", "team@new.test", "all@new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    for name in ("team", "all"):
        add_alias(f"{name}@new.test", ["bob@new.test"])
    later = QueuedRecipient.objects.filter(forward_path="all@new.test")
    later.update(next_attempt_at=None)
    work(2)
    assert len(inbox("bob@new.test")) == 1
    later.update(next_attempt_at=datetime.now(UTC))
    work(3)
    assert len(inbox("bob@new.test")) == 1


def test_an_alias_sends_it_on_by_the_queue_from_a_sender_of_ours(hosted, enqueue):
    message = enqueue("bob@new.test", "cy@new.test", reverse_path="eve@far.test")
    hosted("new.test")
    for name in ("bob", "cy"):
        add_alias(f"{name}@new.test", ["dan@other.test"])
    assert [delivery.outcome.reason for delivery in settle_by_hand()] == ["hosted-here", "hosted-here"]
    [onward] = QueuedMessage.objects.exclude(pk=message.pk)
    assert onward.reverse_path.startswith("SRS0=")
    assert bytes(onward.prefix).startswith(b"Delivered-To: bob@new.test\r\nReceived: ")
    assert onward.content_id == message.content_id
    assert [row.forward_path for row in onward.recipients.all()] == ["dan@other.test"]
    assert told(message, "expanded") == [
        ("expanded", "bob@new.test", "to dan@other.test"),
        ("expanded", "cy@new.test", "to dan@other.test"),
    ]


def test_what_came_full_circle_is_a_loop(hosted, enqueue):
    enqueue("bob@new.test", octets=b"Delivered-To: bob@new.test\r\n" + MESSAGE)
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    [delivery] = settle_by_hand()
    assert (delivery.outcome.status, delivery.outcome.reason) == ("5.4.6", "mail-loop")
    assert inbox("bob@new.test") == []


def test_our_rewritten_sender_leads_back_to_whoever_wrote(hosted, enqueue):
    """A bounce that waits for a domain of ours that was away for a while."""
    original = parse_address("eve@far.test")
    rewritten = srs.forward(original, "new.test", site_keys("srs"), NOW.date())
    message = enqueue(str(rewritten), reverse_path="")
    hosted("new.test")
    settle_by_hand()
    [onward] = QueuedMessage.objects.exclude(pk=message.pk)
    assert (onward.reverse_path, onward.recipients.get().forward_path) == ("", "eve@far.test")


def test_a_full_mailbox_is_tried_again(hosted, enqueue):
    enqueue("bob@new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD, quota_octets=10)
    [delivery] = settle_by_hand()
    assert delivery.outcome.reason == "mailbox-full"
    [row] = QueuedRecipient.objects.all()
    assert (row.state, row.next_attempt_at > datetime.now(UTC)) == ("queued", True)


def test_mail_for_a_domain_that_is_disabled_waits_for_it(hosted, enqueue):
    enqueue("bob@new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    set_domain_state("new.test", disabled=True)
    [delivery] = settle_by_hand()
    assert (delivery.outcome.fate.name, delivery.outcome.reason) == ("LATER", "recipient-disabled")
    set_domain_state("new.test", disabled=False)
    QueuedRecipient.objects.update(next_attempt_at=NOW)
    settle_by_hand()
    assert len(inbox("bob@new.test")) == 1


def test_a_mailbox_that_is_removed_at_that_moment_is_looked_for_again(hosted, enqueue):
    enqueue("bob@new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    settle_by_hand(meanwhile=lambda: remove_mailbox("bob@new.test"))
    [row] = QueuedRecipient.objects.all()
    assert (row.state, row.claim_token, row.settled_at) == ("queued", "", None)
    assert not inbox("bob@new.test")


def test_a_mailbox_that_goes_away_at_that_moment_is_looked_for_again(hosted, enqueue):
    enqueue("bob@new.test")
    hosted("new.test")
    bob = add_mailbox("bob@new.test", PASSWORD)
    settle_by_hand(meanwhile=Folder.objects.filter(mailbox=bob).delete)
    [row] = QueuedRecipient.objects.all()
    assert (row.state, row.claim_token, row.settled_at) == ("queued", "", None)


def test_a_domain_that_is_not_ours_is_left_alone(hosted, enqueue):
    enqueue("bob@far.test")
    assert rehosted().find(execute(ClaimDue("token", 10, 1200))) == {}


@pytest.mark.parametrize("address", ["postmaster@new.test", "abuse@localhost"])
def test_what_was_kept_for_the_administrators_goes_to_whoever_reads_it(hosted, enqueue, address):
    hosted("new.test")
    domain = Domain.objects.filter(name=address.partition("@")[2]).first()
    kept_for = {"hold_reason": KEPT, "domain_id": domain.pk if domain else None}
    message = enqueue(address, reverse_path="eve@far.test", **kept_for)
    assert giving.give(NOW) == 0
    with pytest.raises(ChangeRefused, match=f"Nobody reads {address} yet: give an administrator a mailbox"):
        services.release([message.pk])
    add_mailbox("bob@new.test", PASSWORD)
    if domain is None:
        # The oldest mailbox of a customer is not the host's.
        assert giving.give(NOW) == 0
        User.objects.filter(email="bob@new.test").update(is_superuser=True)
        touch_directory()
    assert giving.give(NOW) == 1
    work()
    [filed] = inbox("bob@new.test")
    head = b"Return-Path: <eve@far.test>\r\nDelivered-To: bob@new.test\r\nReceived: from client by us\r\n"
    assert bytes(filed.prefix) == head
    assert [kind for kind, *_ in told(message, "queued", "released", "filed", "delivered", "failed")] == [
        *("queued", "released", "filed", "delivered"),
    ]
    assert giving.give(NOW) == 0


def test_what_was_kept_goes_to_nobody_who_hosts_the_domain_later(hosted, enqueue):
    hosted("new.test")
    domain = Domain.objects.get(name="new.test")
    message = enqueue("postmaster@new.test", hold_reason=KEPT, domain_id=domain.pk)
    remove_domain("new.test")
    hosted("new.test")
    add_mailbox("bob@new.test", PASSWORD)
    assert giving.give(NOW) == 0
    with pytest.raises(ChangeRefused, match="Nobody reads postmaster@new.test yet"):
        services.release([message.pk])
    assert giving.end_with_domain(NOW) == 0
    assert giving.end_with_domain(datetime.now(UTC) + KEPT_REMOVED + timedelta(days=1)) == 1
    assert [kind for kind, *_ in told(message, "dropped")] == ["dropped"]
    # It goes on when the very domain comes back.
    again = enqueue("postmaster@new.test", hold_reason=KEPT, domain_id=domain.pk)
    remove_domain("new.test")
    restore_domain(domain.pk)
    add_mailbox("bob.too@new.test", PASSWORD)
    assert giving.give(NOW) == 1 and not QueuedMessage.objects.get(pk=again.pk).hold_reason


def test_what_we_make_ourselves_is_kept_within_the_same_bounds(hosted, enqueue, monkeypatch):
    """A stranger who writes as postmaster@ of a domain has bounces made out to it."""
    domain_id = hosted("new.test")
    postmaster = [parse_address("postmaster@new.test")]
    assert {one.address: one.domain_id for one in own_mail.destinations_of(postmaster).kept} == {
        "postmaster@new.test": domain_id
    }
    monkeypatch.setattr(kept, "MAX_MESSAGES", 1)
    enqueue("postmaster@new.test", hold_reason=KEPT, domain_id=domain_id)
    assert own_mail.destinations_of(postmaster).is_empty


def test_so_much_is_kept_for_each_domain(hosted, enqueue, monkeypatch):
    domains = [hosted("new.test"), hosted("other.test")]
    monkeypatch.setattr(kept, "MAX_MESSAGES", 2)
    for _ in range(2):
        assert not kept.is_full(domains[0])
        enqueue("postmaster@new.test", hold_reason=KEPT, domain_id=domains[0])
    enqueue("postmaster@localhost", hold_reason=KEPT)
    assert [kept.is_full(domain_id) for domain_id in (*domains, None)] == [True, False, False]
    monkeypatch.setattr(kept, "MAX_MESSAGES", 100)
    monkeypatch.setattr(kept, "MAX_OCTETS", len(MESSAGE))
    assert [kept.is_full(domain_id) for domain_id in (*domains, None)] == [True, False, True]


@pytest.mark.sqlite_only
@pytest.mark.parametrize("domain_id", [1, None])
def test_how_much_is_kept_is_read_from_an_index_of_what_is_held(db, domain_id):
    """However much the queue has, or had: strangers have it asked. PostgreSQL plans by its tables' sizes."""
    plans = []

    def explaining(execute, sql, params, many, context):
        execute("EXPLAIN QUERY PLAN " + sql, params, many, context)
        plans.append(" ".join(row[3] for row in context["cursor"].fetchall()))
        return execute(sql, params, many, context)

    with connections["reader"].execute_wrapper(explaining):
        assert not kept.is_full(domain_id)
    assert plans == ["SEARCH queue_queuedmessage USING INDEX queued_held (domain_id=?)"]
