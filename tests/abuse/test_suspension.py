"""A mailbox is stopped at one stroke, and its held mail sent or dropped."""

from io import StringIO

import pytest
from django.core.management import call_command

from mailsuite.directory.models import Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import services, suspension
from mailsuite.queue import services as queue
from mailsuite.queue.held_mail import held_count
from mailsuite.queue.models import QueuedMessage
from mailsuite.queue.operations import AttemptResult, ClaimDue, Settle
from mailsuite.trace.models import Event
from mailsuite.writer.run import execute

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

PASSWORD = "correct horse battery"


@pytest.fixture
def people(db, quick_hashes):
    services.add_domain("example.org", key_pairs=[])
    services.add_mailbox("ann@example.org", PASSWORD)
    services.add_mailbox("bob@example.org", PASSWORD)
    return dict(Mailbox.objects.values_list("address", "pk"))


@pytest.fixture
def from_both(people, enqueue):
    """Two messages of ann's and one of bob's in the queue."""
    ann, bob = people["ann@example.org"], people["bob@example.org"]
    return (
        [enqueue("x@far.test", sender_mailbox_id=ann), enqueue("y@far.test", sender_mailbox_id=ann)],
        enqueue("z@far.test", sender_mailbox_id=bob),
    )


def due():
    return {one.recipient.forward_path for one in execute(ClaimDue("worker", 10, 1200))}


def test_suspending_holds_the_mailbox_s_own_mail(people, from_both):
    assert suspension.suspend("ann@example.org") == 2
    assert Mailbox.objects.get(address="ann@example.org").state == "suspended"
    assert held_count(people["ann@example.org"]) == 2
    assert set(Event.objects.filter(kind="held").values_list("text", flat=True)) == {suspension.SENDER_SUSPENDED}
    assert due() == {"z@far.test"}


def test_other_mailboxes_of_the_account_are_told(people):
    ann, bob = people["ann@example.org"], people["bob@example.org"]
    assert suspension.still_open(ann) == ""
    Mailbox.objects.filter(pk=bob).update(user=Mailbox.objects.get(pk=ann).user)
    suspension.suspend("ann@example.org")
    assert "still opens other mailboxes (1): set a new one" in suspension.still_open(ann)
    suspension.suspend("bob@example.org")
    assert suspension.still_open(ann) == ""


def test_suspended_and_held_is_one_transaction(from_both, monkeypatch):
    def fails(ids, reason):
        raise RuntimeError

    monkeypatch.setattr(queue, "hold", fails)
    with pytest.raises(RuntimeError):
        suspension.suspend("ann@example.org")
    assert Mailbox.objects.get(address="ann@example.org").state == "active"


def test_what_is_resumed_stays_held_until_it_is_sent(from_both):
    suspension.suspend("ann@example.org")
    services.resume_mailbox("ann@example.org")
    assert due() == {"z@far.test"}
    assert suspension.release_held("ann@example.org") == 2
    assert due() == {"x@far.test", "y@far.test"}


def test_held_mail_is_dropped(people, from_both):
    suspension.suspend("ann@example.org")
    assert suspension.drop_held("ann@example.org", "the boss") == 2
    assert held_count(people["ann@example.org"]) == 0
    assert {one.settled_at is None for one in from_both[0] if one.refresh_from_db() is None} == {False}
    assert due() == {"z@far.test"}


def test_what_is_held_already_and_what_is_under_way(people, from_both):
    first, second = from_both[0]
    queue.hold([first.pk], "looks odd")
    execute(ClaimDue("worker", 10, 1200))
    # Both: whoever suspends a mailbox wants to know how much is held, not what was held by whom.
    assert suspension.suspend("ann@example.org") == 2
    first.refresh_from_db()
    assert first.hold_reason == "looks odd"
    # Nobody knows yet what becomes of the attempt: it is the worker's.
    assert suspension.drop_held("ann@example.org", "the boss") == 1
    [row] = second.recipients.all()
    execute(Settle("worker", [AttemptResult(row.pk, "delivered", "250 ok")]))
    assert not QueuedMessage.objects.filter(sender_mailbox=people["ann@example.org"], settled_at=None).exists()


def test_nothing_to_hold_or_to_send(people):
    assert suspension.suspend("ann@example.org") == 0
    assert suspension.release_held("ann@example.org") == suspension.drop_held("ann@example.org", "x") == 0
    with pytest.raises(ChangeRefused, match="no mailbox"):
        suspension.suspend("nobody@example.org")


def test_in_the_shell(from_both):
    def manage(*words):
        out = StringIO()
        call_command("mailbox", *words, stdout=out)
        return out.getvalue()

    assert "held in the queue: 2" in manage("suspend", "ann@example.org")
    assert "go on: 2" in manage("release-held", "ann@example.org")
    manage("suspend", "ann@example.org")
    assert "dropped: 2" in manage("drop-held", "ann@example.org")
