"""What became of each recipient is kept on a row of its own, from the reception to the last result."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from queued_mail import enqueue, forget_the_directory

from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.ids import new_id
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.queue import services
from mailsuite.queue.models import QueuedRecipient
from mailsuite.queue.operations import Arrival, AttemptResult, ClaimDue, Settle
from mailsuite.queue.retention import forget_stories
from mailsuite.store.folders import prepare_mailbox
from mailsuite.store.models import Folder, Message
from mailsuite.store.operations import (
    Copy,
    Deliver,
    LocalDelivery,
    Outgoing,
    RemoteRecipient,
    ReportDelivery,
    WithdrawDelivery,
)
from mailsuite.trace.models import Event, RefusalCount, Story, StoryRecipient
from mailsuite.trace.operations import EventFacts, StoryFacts, TellStory
from mailsuite.trace.refusals import RefusalBuffer
from mailsuite.trace.telling import insert_story
from mailsuite.writer.batch import Batch
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

__all__ = ["enqueue", "forget_the_directory"]
NOW = datetime.now(UTC)
MAIL = b"From: ann@far.test\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture(autouse=True)
def one_connection(db):
    reader, connections["reader"] = connections["reader"], connections["default"]
    yield
    connections["reader"] = reader


@pytest.fixture
def mailbox():
    mail_storage().prepare()
    domain = Domain.objects.create(name="example.org")
    user = User.objects.create(email="a@example.org", address_key="a@example.org")
    row = Mailbox.objects.create(domain=domain, user=user, address=user.email, address_key=user.email)
    prepare_mailbox(row)
    return row


def story(outcome="accepted", **facts):
    return StoryFacts(story_id=new_id(), kind="inbound", outcome=outcome, at=NOW, **facts)


def fates():
    rows = StoryRecipient.objects.order_by("pk")
    return list(rows.values_list("address", "fate", "reason", "text", "attempt_count"))


def local(mailbox, **more):
    return LocalDelivery(mailbox.pk, mailbox.address, b"", mailbox.domain_id, **more)


def remote(*addresses, **more):
    recipients = [RemoteRecipient(EnvelopeRecipient(one), one.rpartition("@")[2]) for one in addresses]
    return Outgoing(Envelope("a@example.org", expires_at=NOW + timedelta(days=5)), b"", recipients, **more)


def claim():
    return {one.recipient.forward_path: one.recipient_id for one in execute(ClaimDue("worker", 10, 1200))}


def refuse(outcome, *events):
    batch = Batch()
    insert_story(batch, story(outcome, events=list(events)), list(events), None)
    batch.finish()


def test_where_a_message_was_filed(mailbox):
    execute(Deliver.carrying(MAIL, story(), local=[local(mailbox)]))
    execute(Deliver.carrying(MAIL, story(), local=[local(mailbox, role="junk", reason="content", why="it reads so")]))
    report = ReportDelivery("dmarc", mailbox.domain_id, "dmarc@example.org")
    execute(Deliver.carrying(MAIL, story(), reports=[report]))
    assert fates() == [
        ("a@example.org", "delivered", "", "", 0),
        ("a@example.org", "junk", "content", "it reads so", 0),
        ("dmarc@example.org", "delivered", "", "", 0),
    ]
    assert set(StoryRecipient.objects.values_list("domain", flat=True)) == {mailbox.domain_id}


def test_what_was_refused_put_off_or_dropped():
    refuse("refused", EventFacts("refused", "nobody@example.org", "unknown-recipient", "550 5.1.1 No such mailbox"))
    refuse("deferred", EventFacts("refused", "", "greylisted", "450 come again"))
    batch = Batch()
    dropped = EventFacts("dropped", "info@example.org", "content", "not forwarded, being junk")
    insert_story(batch, story(), [EventFacts("expanded", "info@example.org"), dropped], None)
    batch.finish()
    assert fates() == [
        ("nobody@example.org", "refused", "unknown-recipient", "550 5.1.1 No such mailbox", 0),
        ("", "deferred", "greylisted", "450 come again", 0),
        ("info@example.org", "dropped", "content", "not forwarded, being junk", 0),
    ]


def test_a_mailbox_that_has_it_has_it_whatever_does_not_go_on(mailbox):
    told = story(events=[EventFacts("dropped", mailbox.address, "content", "not forwarded, being junk")])
    execute(Deliver.carrying(MAIL, told, local=[local(mailbox, role="junk", reason="content")]))
    assert [row[:2] for row in fates()] == [("a@example.org", "junk")]
    assert set(Event.objects.values_list("kind", flat=True)) == {"filed", "dropped"}


def test_results_move_it_on(mailbox):
    execute(Deliver.carrying(MAIL, story(), outgoing=[remote("b@far.test", "c@far.test", "d@far.test", "e@far.test")]))
    assert {fate for _, fate, *_ in fates()} == {"waiting"}
    ids = claim()
    results = [
        AttemptResult(ids["b@far.test"], "delivered", "250 ok", reason="accepted", remote_host="mx.far.test"),
        AttemptResult(ids["c@far.test"], "relayed", "250 ok", reason="accepted"),
        AttemptResult(ids["d@far.test"], "failed", "550 no", reason="no-such-address", remote_host="mx.far.test"),
        AttemptResult(ids["e@far.test"], "queued", "450 busy", NOW - timedelta(1), reason="put-off"),
    ]
    execute(Settle("worker", results))
    assert fates() == [
        ("b@far.test", "delivered", "accepted", "mx.far.test: 250 ok", 1),
        ("c@far.test", "delivered", "accepted", "250 ok", 1),
        ("d@far.test", "bounced", "no-such-address", "mx.far.test: 550 no", 1),
        ("e@far.test", "waiting", "put-off", "450 busy", 1),
    ]
    assert QueuedRecipient.objects.get(forward_path="e@far.test").cause == "put-off"
    execute(Settle("worker", [AttemptResult(claim()["e@far.test"], "queued", "450 busy", NOW, reason="put-off")]))
    assert fates()[-1] == ("e@far.test", "waiting", "put-off", "450 busy", 2)


def test_what_administrators_do(enqueue):
    message = enqueue("bob@far.test")
    services.hold([message.pk], "looks odd")
    assert fates() == [("bob@far.test", "held", "held", "looks odd", 0)]
    services.release([message.pk])
    assert fates() == [("bob@far.test", "waiting", "", "", 0)]
    services.drop([message.pk], "root")
    assert fates() == [("bob@far.test", "dropped", "by-hand", "by root", 0)]
    other = enqueue("cy@far.test", reverse_path="")
    services.fail([other.pk], "root")
    assert fates()[-1][:4] == ("cy@far.test", "bounced", "by-hand", "given up by root")


def test_what_is_held_while_it_is_tried_stays_held(enqueue):
    message = enqueue("bob@far.test")
    [recipient_id] = claim().values()
    services.hold([message.pk], "looks odd")
    execute(Settle("worker", [AttemptResult(recipient_id, "queued", "450 busy", NOW, reason="put-off")]))
    assert fates() == [("bob@far.test", "held", "held", "looks odd", 0)]


def test_what_turns_out_to_be_ours_is_told_once(mailbox):
    held = remote("a@example.org", "list@example.org")
    execute(Deliver.carrying(MAIL, story(), outgoing=[held]))
    ids = claim()
    arrived = Arrival([local(mailbox)])
    results = [
        AttemptResult(pk, "delivered", "hosted here", reason="hosted-here", arrival=arrived) for pk in ids.values()
    ]
    execute(Settle("worker", results))
    assert [row[:2] for row in fates()] == [("a@example.org", "delivered"), ("list@example.org", "delivered")]


def test_what_was_taken_back_is_to_come_again(mailbox):
    facts = story()
    execute(Deliver.carrying(MAIL, facts, local=[local(mailbox)], outgoing=[remote("b@far.test", "c@far.test")]))
    # One of them is on its way.
    QueuedRecipient.objects.filter(forward_path="c@far.test").update(attempt_count=1)
    execute(WithdrawDelivery(facts.story_id, [mailbox.pk]))
    assert [row[:3] for row in fates()] == [
        ("a@example.org", "deferred", "too-late"),
        ("b@far.test", "deferred", "too-late"),
        ("c@far.test", "waiting", ""),
    ]


class TestMoves:
    """The owner's way out of Junk and into it, as an IMAP session asks for it."""

    @staticmethod
    def move(mailbox, source, target, *, move=True):
        folders = {one.role or one.name: one.pk for one in Folder.objects.filter(mailbox=mailbox)}
        uids = list(Message.objects.filter(folder=folders[source]).values_list("uid", flat=True))
        execute(Copy(mailbox.pk, folders[source], folders[target], uids, move))

    def test_the_fate_follows(self, mailbox):
        execute(Deliver.carrying(MAIL, story(), local=[local(mailbox, role="junk", reason="content", why="odd")]))
        self.move(mailbox, "junk", "inbox")
        assert fates() == [("a@example.org", "delivered", "moved", "its owner moved it out of Junk", 0)]
        self.move(mailbox, "inbox", "junk")
        assert fates() == [("a@example.org", "junk", "moved", "its owner moved it there", 0)]
        events = Event.objects.filter(kind="moved").order_by("pk")
        assert [(one.text, one.mailbox_id) for one in events] == [
            ("from Junk to INBOX, by its owner", mailbox.pk),
            ("from INBOX to Junk, by its owner", mailbox.pk),
        ]

    def test_old_programs_copy_and_delete(self, mailbox):
        execute(Deliver.carrying(MAIL, story(), local=[local(mailbox, role="junk", reason="content")]))
        self.move(mailbox, "junk", "inbox", move=False)
        assert fates()[0][:3] == ("a@example.org", "delivered", "moved")
        # What is thrown away was junk.
        execute(Deliver.carrying(MAIL, story(), local=[local(mailbox, role="junk", reason="content")]))
        self.move(mailbox, "junk", "trash")
        assert fates()[1][:3] == ("a@example.org", "junk", "content")

    def test_others_of_the_story_are_left_alone(self, mailbox):
        told = story()
        execute(Deliver.carrying(MAIL, told, local=[local(mailbox, role="junk", reason="content")]))
        StoryRecipient.objects.create(story_id=told.story_id, address="b@example.org", fate="junk")
        self.move(mailbox, "junk", "inbox")
        assert [row[1] for row in fates()] == ["delivered", "junk"]

    def test_it_costs_three_questions_an_operation_and_others_nothing(self, mailbox):
        def cost(source, target):
            with CaptureQueriesContext(connection) as done:
                self.move(mailbox, source, target)
            return sum("trace_" in one["sql"] or "directory_mailbox" in one["sql"] for one in done)

        for _ in range(3):
            execute(Deliver.carrying(MAIL, story(), local=[local(mailbox, role="junk")]))
        # The events, by executemany, are one of them each.
        assert cost("junk", "inbox") <= 3 + 3
        assert cost("inbox", "archive") == 0


def test_it_is_forgotten_with_the_story(mailbox):
    execute(Deliver.carrying(MAIL, story(), local=[local(mailbox)]))
    assert forget_stories(NOW + timedelta(days=4000)) == 1
    assert fates() == []


class TestEarlierMessages:
    """The migration tells of them what the rows would say by now."""

    @staticmethod
    def migrate():
        migration = import_module("mailsuite.trace.migrations.0005_fates_of_earlier_recipients")
        migration.fill(apps, SimpleNamespace(connection=connection))

    def test_it_finds_the_same(self, mailbox, enqueue):
        execute(Deliver.carrying(MAIL, story(), local=[local(mailbox)]))
        execute(Deliver.carrying(MAIL, story(), local=[local(mailbox, role="junk", reason="content")]))
        refuse("refused", EventFacts("refused", "nobody@example.org", "unknown-recipient", "550 No such mailbox"))
        refuse("deferred", EventFacts("refused", "", "greylisted", "450 come again"))
        enqueue("b@far.test", "c@far.test", "d@far.test")
        ids = claim()
        results = [
            AttemptResult(ids["b@far.test"], "delivered", "250 ok", reason="accepted"),
            AttemptResult(ids["c@far.test"], "failed", "550 no", reason="recipient-refused"),
            AttemptResult(ids["d@far.test"], "queued", "450 busy", NOW + timedelta(1)),
        ]
        execute(Settle("worker", results))
        services.drop([enqueue("e@far.test").pk], "root")
        services.hold([enqueue("f@far.test").pk], "looks odd")
        facts = story()
        execute(Deliver.carrying(MAIL, facts, local=[local(mailbox)]))
        execute(WithdrawDelivery(facts.story_id, [mailbox.pk]))
        before = {tuple(row[:2]) for row in fates()}
        rows = StoryRecipient.objects.order_by("story", "address").values_list("story", "address", "domain", "fate")
        kept = list(rows)
        StoryRecipient.objects.all().delete()
        self.migrate()
        assert list(rows) == kept
        assert ("a@example.org", "junk") in before and ("d@far.test", "waiting") in before
        # Whatever still waits is found by its row in the queue.
        waiting = QueuedRecipient.objects.get(forward_path="d@far.test")
        assert StoryRecipient.objects.get(pk=waiting.pk).attempt_count == 1

    def test_it_goes_on_where_it_ended(self, mailbox, monkeypatch):
        migration = import_module("mailsuite.trace.migrations.0005_fates_of_earlier_recipients")
        monkeypatch.setattr(migration, "SLICE", 2)
        for _ in range(5):
            execute(Deliver.carrying(MAIL, story(), local=[local(mailbox)]))
        StoryRecipient.objects.filter(pk__in=StoryRecipient.objects.order_by("pk").values_list("pk")[:3]).delete()
        for _ in range(2):
            self.migrate()
            assert StoryRecipient.objects.values("story").distinct().count() == StoryRecipient.objects.count() == 5

    def test_a_story_of_long_ago_keeps_its_own(self):
        old = Story.objects.create(kind="inbound", outcome="accepted", at=NOW)
        Event.objects.create(story=old, at=NOW, kind="expanded", address="info@example.org")
        self.migrate()
        assert fates() == []


def test_refusals_of_many_recipients_fill_no_database(db):
    """What a flush writes is bounded by its events, and the rest is counted."""
    buffer = RefusalBuffer()
    for number in range(30):
        events = [EventFacts("refused", f"r{one}@example.org", "mail-loop", "554 loop") for one in range(100)]
        buffer.add(TellStory(story("refused", reason="mail-loop", events=events), f"192.0.{number}.0/24"), 0.0)
    buffer.flush(10.0)
    assert Story.objects.count() == 20 and StoryRecipient.objects.count() == 2000
    assert RefusalCount.objects.count() == 10
    buffer.add(TellStory(story("refused", reason="mail-loop", events=events), "192.0.2.0/24"), 10.0)
    buffer.flush(20.0)
    assert Story.objects.count() == 21
