"""Of a story each domain knows its own part: what it sent, and what came to it."""

import pytest

from mailsuite.trace import fates, visibility
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.trace.operations import EventFacts
from mailsuite.trace.visibility import any_of, ids_of, visible

pytestmark = pytest.mark.usefixtures("one_connection")


@pytest.fixture
def stories(tell, domains):
    """By name; the sender's domain and the recipients' differ."""
    ours, theirs = domains
    return {
        "ours to theirs": tell(EventFacts("filed", "bob@theirs.example", domain_id=theirs), sender_domain_id=ours),
        "ours to far": tell(EventFacts("queued", "cy@far.example", domain_id=ours), sender_domain_id=ours),
        "far to theirs": tell(EventFacts("filed", "bob@theirs.example", domain_id=theirs)),
        "far to nobody": tell(EventFacts("refused", "x@far.example"), outcome="refused"),
    }


@pytest.fixture(params=["few", "many"])
def limit(request, monkeypatch):
    """The same by a list of ids, where a domain has few stories, and by a question for each, where it has many."""
    if request.param == "many":
        monkeypatch.setattr(visibility, "FEW", 0)


@pytest.mark.usefixtures("limit")
def test_a_domain_knows_what_it_sent_and_what_came_to_it(stories, domains):
    ours, theirs = domains
    names = {pk: name for name, pk in stories.items()}

    def seen(scope):
        return sorted(names[pk] for pk in visible(Story.objects.all(), scope).values_list("pk", flat=True))

    assert seen([ours]) == ["ours to far", "ours to theirs"]
    assert seen([theirs]) == ["far to theirs", "ours to theirs"]
    assert seen(domains) == ["far to theirs", "ours to far", "ours to theirs"]
    assert seen([]) == [] and seen(None) == sorted(names.values())


def test_a_union_of_one_and_of_several_finds_what_each_finds(stories):
    first, second = (Story.objects.filter(pk=stories[name]) for name in ("ours to far", "far to theirs"))
    assert Story.objects.filter(any_of([ids_of(first, "pk")])).get() == first.get()
    both = Story.objects.filter(any_of([ids_of(first, "pk"), ids_of(second, "pk"), ids_of(first, "pk")]))
    assert {story.pk for story in both} == {first.get().pk, second.get().pk}


def test_a_recipient_hears_nothing_of_the_others(tell, domains):
    """They may have been blind copies."""
    ours, theirs = domains
    pk = tell(
        EventFacts("refused", "ann@ours.example", domain_id=ours),
        EventFacts("refused", "bob@theirs.example", domain_id=theirs),
        EventFacts("refused", "cy@far.example"),
        sender_domain_id=ours,
    )
    story = Story.objects.get(pk=pk)

    def told(scope):
        return sorted(fates.recipients(story, scope).values_list("address", flat=True))

    assert told([theirs]) == ["bob@theirs.example"]
    assert told([ours]) == ["ann@ours.example", "cy@far.example"]
    assert told(None) == ["ann@ours.example", "bob@theirs.example", "cy@far.example"]
    counted = {scope: fates.of_stories([story], scope)[pk][0].count for scope in ((ours,), (theirs,), None)}
    assert counted == {(ours,): 2, (theirs,): 1, None: 3}
    assert StoryRecipient.objects.count() == 3
