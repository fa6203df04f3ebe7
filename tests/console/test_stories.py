"""Finding a message's story by what people know of it, and telling it to those who may hear it."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from mailsuite.console.stories import search, timeline
from mailsuite.console.stories.admin import NewestPaginator
from mailsuite.console.stories.findings import VerdictLine
from mailsuite.directory.models import Domain
from mailsuite.ids import COUNTER_BITS, EPOCH_MS
from mailsuite.provisioning import services as directory
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient
from mailsuite.store.models import Content
from mailsuite.trace import visibility
from mailsuite.trace.models import Event, Story

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def one_connection(db):
    reader, connections["reader"] = connections["reader"], connections["default"]
    yield
    connections["reader"] = reader


@pytest.fixture
def domains():
    for name in ("example.org", "example.net"):
        directory.add_domain(name, key_pairs=[])
    return {domain.name: domain for domain in Domain.objects.all()}


def id_at(moment, counter=0):
    return ((int(moment.timestamp() * 1000) - EPOCH_MS) << COUNTER_BITS) + counter


def tell_of(subject, at=NOW, **fields):
    fields = {"kind": "inbound", "outcome": "accepted", "reverse_path": "x@remote.example"} | fields
    fields.setdefault("sender_key", fields["reverse_path"])
    return Story.objects.create(id=id_at(at, Story.objects.count()), at=at, subject=subject, **fields)


def event(story, kind, address, domain=None, text="", at=None):
    return Event.objects.create(
        story=story, at=at or story.at, kind=kind, address=address, address_key=address, domain=domain, text=text
    )


@pytest.fixture
def relayed(domains):
    """A submission from example.org to a remote host, tried twice."""
    data = {"listener": "SUBMISSIONS", "tls": "TLSv1.3 AES", "user": "ann@example.org", "reply": "250 2.0.0 Ok"}
    story = tell_of(
        "Offer", kind="submission", reverse_path="ann@example.org", message_id="<offer@example.org>",
        sender_domain=domains["example.org"], data=json.dumps(data),
    )  # fmt: skip
    event(story, "queued", "friend@remote.example", domains["example.org"])
    event(story, "filed", "bob@example.net", domains["example.net"], "into INBOX")
    content = Content.objects.create(
        id=id_at(NOW), blob="b", size_octets=1, header_octets=20, received_at=NOW, header=b"Subject: Offer\r\n\r\n",
        envelope=b"", body_structure=b"", body=b"", parts=b"", thread_id=1, message_id="<offer@example.org>",
    )  # fmt: skip
    message = QueuedMessage.objects.create(
        id=id_at(NOW, 7), content=content, size_octets=1, story_id=story.pk, created_at=NOW, expires_at=NOW,
        domain=domains["example.org"],
    )  # fmt: skip
    recipient = QueuedRecipient.objects.create(
        message=message, forward_path="friend@remote.example", destination="remote.example"
    )
    for minute, (outcome, reply) in enumerate([("delayed", "451 later"), ("delivered", "250 thanks")], 1):
        DeliveryAttempt.objects.create(
            recipient=recipient, token="t", started_at=NOW + timedelta(minutes=minute), outcome=outcome, reply=reply,
            ended_at=NOW + timedelta(minutes=minute, seconds=2), remote_host="mx.remote.example", dialog="> EHLO here",
        )  # fmt: skip
    return story


@pytest.fixture
def several(domains, relayed):
    old = tell_of("An old invoice", NOW - timedelta(days=40))
    refused = tell_of("Invoice 7", NOW - timedelta(minutes=5), outcome="refused", reverse_path="y@remote.example")
    event(refused, "refused", "nobody@example.net", domains["example.net"])
    tell_of("Lunch?", NOW - timedelta(days=2), message_id="<lunch@remote.example>", client_address="192.0.2.9")
    return old


@pytest.mark.parametrize(
    ("words", "subjects"),
    [
        ("ann@example.org", ["Offer"]),
        ("ANN@Example.org", ["Offer"]),
        ("friend@remote.example", ["Offer"]),
        ("<offer@example.org>", ["Offer"]),
        ("offer@example.org", ["Offer"]),
        ("<lunch@remote.example>", ["Lunch?"]),
        ("invoice", ["Invoice 7"]),
        ("refused", ["Invoice 7"]),
        ("refused lunch", []),
        ("example.net", ["Invoice 7", "Offer"]),
        ("@example.net accepted", ["Offer"]),
        ("remote.example offer", ["Offer"]),
        ("@Remote.example submission", ["Offer"]),
        ("mote.example submission", []),
        ("submission", ["Offer"]),
        ("192.0.2.", ["Lunch?"]),
        (f"{NOW - timedelta(days=40):%Y-%m-%d}", ["An old invoice"]),
        (f"{NOW - timedelta(days=40):%Y-%m-%d} 'old invoice'", ["An old invoice"]),
        ("2026-99-99", []),
        ("'", []),
    ],
)
@pytest.mark.parametrize("few", [0, visibility.FEW])
def test_what_leads_to_a_story(several, words, subjects, few, monkeypatch):
    """The same where a domain has few events and where it has many."""
    monkeypatch.setattr(visibility, "FEW", few)
    assert sorted(story.subject for story in search.find(words)) == subjects


@pytest.mark.django_db
@pytest.mark.parametrize("words", ["ПРИВЕТ über", "überÄ100%", "'привет, ÜBER'"])
def test_letters_of_all_scripts_are_found_in_either_case(words):
    tell_of("Привет, ÜBERä100%")
    tell_of("Привет, ubera1001")
    assert search.find(words)[0].subject == "Привет, ÜBERä100%"


@pytest.mark.sqlite_only
def test_on_sqlite_words_are_compared_as_in_a_search_of_mail(db):
    tell_of("Mu\u0308ller in der Straße, ＦＵＬＬ_x")
    for words in ("müller", "STRAßE", "MÜLLER", "straße,", "ｆｕｌｌ＿x"):
        assert len(search.find(words)) == 1, words
    assert not search.find("％müller") and not search.find("ｆｕｌｌ＿＿")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "words", ["ann@example.org", "<offer@example.org>", "0s9dt2gem0000", "refused ann@example.org"]
)
@pytest.mark.parametrize("scoped", [False, True])
def test_no_search_for_an_address_or_id_looks_through_all_stories(several, domains, words, scoped, monkeypatch):
    """PostgreSQL plans by its tables' sizes; the statements are the same."""
    monkeypatch.setattr(visibility, "FEW", 0)
    scope = [domains["example.org"].pk] if scoped else None
    plan = search.matching(Story.objects.all(), words, scope).explain()
    assert "SCAN" not in plan


def test_a_list_of_stories_is_counted_no_further_than_anybody_turns_its_pages(several, monkeypatch):
    monkeypatch.setattr(NewestPaginator, "MOST", 2)
    paginator = NewestPaginator(visibility.visible(Story.objects.order_by("-pk"), None), 1)
    assert (paginator.count, paginator.num_pages) == (2, 2)
    assert list(paginator.page(1)) == list(Story.objects.order_by("-pk")[:1])


def test_queue_ids_lead_to_it_both_of_the_story_and_of_the_queue(relayed):
    assert search.find(relayed.reference) == [relayed]
    assert search.find(QueuedMessage.objects.get().reference.upper()) == [relayed]


def test_newest_first_and_limited(several):
    assert [story.subject for story in search.find("", limit=2)][0] in ("Offer", "Invoice 7")
    assert len(search.find("", limit=2)) == 2


def test_the_whole_way_in_order(relayed):
    lines = timeline.tell(relayed)
    assert [(line.kind, line.tone) for line in lines] == [
        ("accepted", "good"), ("queued", "plain"), ("filed", "good"), ("attempt", "waiting"), ("attempt", "good"),
    ]  # fmt: skip
    assert "TLS: TLSv1.3 AES" in lines[0].detail and "Signed in as: ann@example.org" in lines[0].detail
    assert lines[3].title == "tried friend@remote.example at mx.remote.example after 2.0 s"
    assert (lines[3].text, lines[3].detail) == ("451 later", "> EHLO here")


def test_the_same_that_happens_to_many_at_once_is_one_line(relayed):
    into = {f"m{number}@example.org": ("into Work", "") for number in range(20)}
    for address, (text, reason) in (into | {"x@example.org": ("into Junk", "content")}).items():
        Event.objects.create(story=relayed, at=relayed.at, kind="filed", address=address, text=text, reason=reason)
    lines = [line for line in timeline.tell(relayed) if line.kind == "filed" and line.text != "into INBOX"]
    told = [(line.title, line.text, line.detail) for line in lines]
    assert told == [
        ("filed 20 recipients", "into Work", ", ".join(into)), ("filed x@example.org", "into Junk", "content"),
    ]  # fmt: skip


def test_a_verdict_names_the_first_of_many():
    every = tuple(f"m{number}@example.org" for number in range(100))
    assert VerdictLine(every, "In the inbox.", "ordinary").whose.endswith(", m7@example.org and 92 more")


def test_of_a_refusal_without_a_sender_the_client_and_the_reason_are_told(domains):
    fields = {"kind": "submission", "outcome": "refused", "reverse_path": "", "reason": "login-failed"}
    story = tell_of("", client_address="192.0.2.7", client_name="[192.0.2.7]", **fields)
    assert (story.whose, story.what) == ("192.0.2.7", "login-failed")
    assert timeline.origin(story) == "at a port for our users"
    assert timeline.tell(story)[0].title == "Refused from [192.0.2.7]"
    out = io.StringIO()
    tell_of("", client_address="192.0.2.7", client_name="mx.remote.example", **fields)
    call_command("trace", "refused", stdout=out)
    listed, told = out.getvalue().split("\n\n")
    assert listed.endswith("refused   192.0.2.7  login-failed")
    assert "Refused from mx.remote.example [192.0.2.7]  login-failed" in told


def test_what_was_made_here_says_so(domains):
    story = tell_of("Not delivered", kind="notification", reverse_path="", reason="failed")
    first = timeline.tell(story)[0]
    assert (first.title, first.text) == ("Made here", "tells its sender that mail failed")
    assert (story.whose, story.what) == ("this host", "Not delivered")
    assert timeline.origin(story) == "made here: tells its sender that mail failed"


def test_what_a_notification_is_about_is_told_to_those_who_may_know_of_it(relayed, domains):
    data = json.dumps({"about": relayed.reference})
    story = tell_of("Not delivered", kind="notification", reverse_path="", reason="failed", data=data)
    own, other = {domains["example.org"].pk}, {-1}
    assert [timeline.about(story, scope) for scope in (None, own, other)] == [relayed, relayed, None]
    assert "About: " + relayed.reference in timeline.tell(story)[0].detail
    assert timeline.about(relayed) is None
    relayed.delete()
    assert timeline.about(story) is None


def test_what_was_held_from_the_start_says_so(domains):
    story = tell_of("Offer")
    event = {"kind": "queued", "reason": "held", "text": "its sender is over the day's cap", "address": "x@far.test"}
    Event.objects.create(story=story, at=story.at, **event)
    line = timeline.tell(story)[-1]
    assert (line.kind, line.tone, line.title) == ("held", "waiting", "held x@far.test")
    assert (line.text, line.detail) == ("its sender is over the day's cap", "")


def test_the_header_and_nothing_of_the_body(relayed):
    assert timeline.header(relayed) == "Subject: Offer\r\n\r\n"
    QueuedMessage.objects.update(story_id=1)
    assert timeline.header(relayed) == ""


@pytest.mark.parametrize("few", [0, visibility.FEW])
def test_each_side_hears_its_own_part(relayed, domains, few, monkeypatch):
    monkeypatch.setattr(visibility, "FEW", few)
    sender, recipient = ({domains[name].pk} for name in ("example.org", "example.net"))
    assert [line.kind for line in timeline.tell(relayed, sender)] == ["accepted", "queued", "attempt", "attempt"]
    assert [line.kind for line in timeline.tell(relayed, recipient)] == ["accepted", "filed"]
    assert search.find("friend@remote.example", sender) == [relayed]
    assert search.find("friend@remote.example", recipient) == []
    assert search.find("bob@example.net", sender) == []
    assert search.find("remote.example", sender) == [relayed]
    assert search.find("remote.example", recipient) == []
    assert search.find("", {-1}) == []


def test_only_the_senders_side_hears_from_where_a_submission_came(relayed, domains):
    Story.objects.filter(pk=relayed.pk).update(client_address="192.0.2.7", client_name="laptop")
    relayed.refresh_from_db()
    sender, recipient = ({domains[name].pk} for name in ("example.org", "example.net"))
    for scope in (None, sender):
        first = timeline.tell(relayed, scope)[0]
        assert first.title == "Accepted from laptop [192.0.2.7]" and "ann@example.org" in first.detail
        assert search.find("192.0.2.7", scope) == [relayed]
    first = timeline.tell(relayed, recipient)[0]
    assert (first.title, first.detail) == ("Accepted", "")
    assert search.find("192.0.2.7", recipient) == []


def test_the_command_tells_the_newest_and_lists_the_others(several):
    out = io.StringIO()
    call_command("trace", "invoice", stdout=out)
    assert "Invoice 7" in out.getvalue() and "refused nobody@example.net" in out.getvalue()
    out = io.StringIO()
    call_command("trace", "example.net", stdout=out)
    listed, told = out.getvalue().split("\n\n")
    assert listed.endswith("Invoice 7") and "Accepted" in told and "250 thanks" in told
    with pytest.raises(CommandError, match="No message fits"):
        call_command("trace", "nowhere@to.be.found")
