"""A story, its events and its recipients' fates are written by one batch, each value where it belongs."""

import pytest

from mailsuite.trace import telling
from mailsuite.trace.models import Event, Story, StoryRecipient
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.telling import filed_as, move_on, search_key
from mailsuite.writer.batch import Batch


class TestStory:
    def test_what_was_told_stands_in_the_row(self, tell):
        pk = tell(reverse_path="Ann@Far.Example", client_address="192.0.2.9", client_name="mx.far.example", reason="ok")
        story = Story.objects.get(pk=pk)
        assert (story.kind, story.outcome, story.reason) == ("inbound", "accepted", "ok")
        assert (story.client_address, story.client_name) == ("192.0.2.9", "mx.far.example")
        assert (story.reverse_path, story.sender_key) == ("Ann@Far.Example", "ann@far.example")

    def test_what_a_message_says_of_itself_comes_before_what_was_told(self, tell):
        class Reading:
            from_text, subject, message_id, size_octets = "Ann", "Hello", "<1@far.example>", 42

        story = Story.objects.get(pk=tell(subject="told", reading=Reading()))
        assert (story.from_text, story.subject, story.message_id, story.size_octets) == (
            *("Ann", "Hello", "<1@far.example>", 42),
        )
        assert Story.objects.get(pk=tell(subject="told")).subject == "told"


class TestEvents:
    def test_each_has_the_time_of_the_batch_and_a_key_to_search_by(self, tell, domains):
        pk = tell(EventFacts("filed", "Bob@Ours.Example", "ordinary", "into INBOX", domains[0]))
        event = Event.objects.get(story=pk)
        assert (event.kind, event.address, event.address_key) == ("filed", "Bob@Ours.Example", "bob@ours.example")
        assert (event.reason, event.text, event.domain_id) == ("ordinary", "into INBOX", domains[0])
        assert event.at > Story.objects.get(pk=pk).at

    @pytest.mark.parametrize(
        ("outcome", "kind", "fate"),
        [
            ("refused", "refused", ["refused"]),
            ("deferred", "refused", ["deferred"]),
            ("accepted", "refused", ["refused"]),
            ("accepted", "dropped", ["dropped"]),
            ("deferred", "dropped", ["dropped"]),
            ("accepted", "filed", []),
            ("accepted", "expanded", []),
        ],
    )
    def test_those_that_end_a_recipients_way_are_its_fate(self, tell, outcome, kind, fate):
        tell(EventFacts(kind, "bob@ours.example", "a-reason", "in words"), outcome=outcome)
        rows = StoryRecipient.objects.values_list("fate", "address", "reason", "text")
        assert list(rows) == [(one, "bob@ours.example", "a-reason", "in words") for one in fate]

    def test_what_is_filed_for_an_address_is_not_dropped_for_it(self, tell):
        filed, dropped = (EventFacts(kind, "bob@ours.example") for kind in ("filed", "dropped"))
        tell(filed, dropped)
        assert Event.objects.count() == 2 and not StoryRecipient.objects.exists()


def test_somebodys_act_moves_many_on_and_leaves_the_others(tell):
    events = [EventFacts("refused", f"r{number}@ours.example") for number in range(5)]
    tell(*events, outcome="refused")
    *moved, left = StoryRecipient.objects.order_by("pk").values_list("pk", flat=True)
    move_on(moved, telling.Fate.HELD, "by-hand", "held by root")
    assert set(StoryRecipient.objects.filter(pk__in=moved).values_list("fate", "reason", "text")) == {
        ("held", "by-hand", "held by root")
    }
    assert StoryRecipient.objects.get(pk=left).fate == "refused"
    move_on([], telling.Fate.BOUNCED)
    assert not StoryRecipient.objects.filter(fate="bounced").exists()


@pytest.mark.parametrize(
    ("state", "fate"),
    [("delivered", "delivered"), ("relayed", "delivered"), ("failed", "bounced"), ("queued", "waiting")],
)
def test_a_deliverys_result_is_a_fate(tell, state, fate):
    tell(EventFacts("refused", "bob@ours.example"), outcome="refused")
    row = StoryRecipient.objects.get()
    batch = Batch()
    telling.RESULT.run(batch.cursor, [telling.result(state, "why", "in words", 3, row.pk)])
    row.refresh_from_db()
    assert (row.fate, row.reason, row.text, row.attempt_count) == (fate, "why", "in words", 3)


@pytest.mark.parametrize(("role", "fate"), [("junk", "junk"), ("inbox", "delivered"), ("", "delivered")])
def test_only_junk_is_junk(role, fate):
    assert filed_as(role) == fate


@pytest.mark.parametrize(
    ("address", "key"),
    [("", ""), ("no address", "no address"), ("x" * 400, "x" * 320), ("A@BÜCHER.example", "a@xn--bcher-kva.example")],
)
def test_what_is_no_address_is_kept_as_it_came(address, key):
    assert search_key(address) == key
