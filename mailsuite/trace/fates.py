"""What became of messages, for lists and for the story's first lines; and finding them by it.

`scope` is as in services: a reader hears of the recipients at their domains, and the sender's side also of those at no
domain of ours.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from mailsuite.trace import sentences
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.trace.visibility import FEW, Scope, any_of

Fate = StoryRecipient.Fate
# From what needs somebody most.
ORDER = {fate: position for position, fate in enumerate(Fate.values)}
# So many recipients of a story are read for its first lines, which no message has more of (pipeline.destinations), and
# so many are named in one.
MOST, NAMED = 2000, 8
# Of so many recipients, the newest, the reasons are offered to filter by.
LATELY, OFFERED = 5_000, 30
# Up to so many recipients with a fate or reason are listed before stories are looked at: on a host with a million
# messages as many are found among the newest in the same time.
LISTED = 20_000


@dataclass(frozen=True, slots=True)
class Share:
    """Those of a story's recipients that fared alike: how many, the first of them, and what is said of one."""

    fate: Fate
    count: int
    address: str
    reason: str
    text: str
    attempt_count: int

    @property
    def why(self) -> str:
        """Why, as the rest of a sentence; empty where there is nothing to say."""
        return sentences.why(self.fate, self.reason, self.text)

    @property
    def tone(self) -> str:
        """good, waiting, bad or plain: how much it needs somebody."""
        return sentences.TONES[self.fate]

    @property
    def tries(self) -> str:
        """How often it was tried, in words; empty unless it waits."""
        return tries(self.fate, self.attempt_count)


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the first lines of a story: what became of some recipients, alike. `said` are another host's own words."""

    fate: Fate
    tone: str
    headline: str
    reason: str
    advice: str = ""
    said: str = ""
    addresses: Sequence[str] = field(default=())


def of_stories(stories: Collection[Story], scope: Scope) -> dict[int, list[Share]]:
    """By story, how the recipients fared that the asker may know of, what needs somebody most first."""
    by_id = {story.pk: story for story in stories}
    rows: Any = StoryRecipient.objects.using("reader").filter(story__in=list(by_id)).order_by()
    groups = rows.values("story_id", "fate", "domain").annotate(
        count=Count("pk"), first=Min("address"), last=Max("pk"), tried=Max("attempt_count")
    )
    # Whose they are is looked at here: asked for it too, a database begins with all rows of a large domain.
    own = [one for one in groups if _is_visible(one["domain"], by_id[one["story_id"]], scope)]
    last = StoryRecipient.objects.using("reader").in_bulk([one["last"] for one in own])
    alike: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for one in sorted(own, key=lambda one: (ORDER[one["fate"]], one["last"])):
        alike[one["story_id"], one["fate"]].append(one)
    found: dict[int, list[Share]] = defaultdict(list)
    for (story_id, fate), some in alike.items():
        # One that a result moved on meanwhile tells what is so by now.
        row = last.get(some[-1]["last"]) or StoryRecipient()
        count, tried = sum(one["count"] for one in some), max(one["tried"] for one in some)
        found[story_id].append(Share(Fate(fate), count, min(one["first"] for one in some), row.reason, row.text, tried))
    return found


def answers(story: Story, scope: Scope) -> list[Answer]:
    """What became of the message, in sentences."""
    rows = recipients(story, scope)[:MOST]
    alike: dict[tuple[str, str, str, str], list[StoryRecipient]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: ORDER[row.fate]):
        words = sentences.why(row.fate, row.reason, row.text)
        alike[row.fate, row.reason, words, tries(row.fate, row.attempt_count)].append(row)
    return [_answer(*key, some) for key, some in alike.items()]


def recipients(story: Story, scope: Scope) -> QuerySet[StoryRecipient]:
    """The story's recipients that the asker may know of."""
    return visible(StoryRecipient.objects.using("reader").filter(story_id=story.pk), scope).order_by("pk")


def visible(rows: QuerySet[StoryRecipient], scope: Scope) -> QuerySet[StoryRecipient]:
    """Those of a story's recipients that the asker may know of."""
    return rows if scope is None else rows.filter(Q(domain__in=scope) | _of_sender(scope))


def with_fate(stories: QuerySet[Story], fate: str, scope: Scope) -> QuerySet[Story]:
    """The stories of which one recipient fared so."""
    return _of_recipients(stories, StoryRecipient.objects.filter(fate=fate), scope)


def with_reason(stories: QuerySet[Story], reason: str, scope: Scope) -> QuerySet[Story]:
    """The stories of which one recipient fared as it did for this reason."""
    # Spelled out, the partial index is used whatever the reason is.
    return _of_recipients(stories, StoryRecipient.objects.exclude(reason="").filter(reason=reason), scope)


def _of_recipients(stories: QuerySet[Story], rows: QuerySet[StoryRecipient], scope: Scope) -> QuerySet[Story]:
    """The stories of these recipients, of which the asker may know. Some are listed; where there are many, each story
    that is looked at is asked, newest first, so that a page of them is full soon."""
    rows = rows.order_by()
    # Apart, since neither database uses an index for both sides of an OR.
    parts = [rows] if scope is None else [rows.filter(domain__in=scope), rows.filter(_of_sender(scope))]
    if all(part.using("reader")[:LISTED].count() < LISTED for part in parts):
        return stories.filter(any_of([part.values("story_id") for part in parts]))
    return stories.filter(Exists(visible(rows, scope).filter(story=OuterRef("pk"))))


def _of_sender(scope: Collection[int]) -> Q:
    """Of recipients: those at no domain of ours, of a message that one of the domains sent."""
    sent = Story.objects.filter(pk=OuterRef("story_id"), sender_domain__in=scope)
    return Q(Q(domain=None), Exists(sent))


def _is_visible(domain_id: int | None, story: Story, scope: Scope) -> bool:
    """The same as `visible` of one recipient."""
    return scope is None or (story.sender_domain_id if domain_id is None else domain_id) in scope


def reasons(scope: Scope) -> list[str]:
    """The commonest reasons of late, in the order of the alphabet. Of domains with little mail all of it counts: on a
    busy host none of that is among the newest."""
    rows = StoryRecipient.objects.using("reader").order_by()
    own = rows.none() if scope is None else rows.filter(domain__in=scope)
    if scope is None or own[:FEW].count() == FEW:
        newest = rows.order_by("-pk").values_list("reason", "domain")[:LATELY]
        found = [reason for reason, domain_id in newest if scope is None or domain_id in scope]
    else:
        found = list(own.values_list("reason", flat=True))
    counts = Counter(reason for reason in found if reason not in sentences.WORDLESS)
    return sorted(reason for reason, _ in counts.most_common(OFFERED))


def tries(fate: str, attempt_count: int) -> str:
    """How often what waits was tried."""
    if fate != Fate.WAITING or not attempt_count:
        return ""
    return "1 try" if attempt_count == 1 else f"{attempt_count} tries"


def named(addresses: Iterable[str]) -> str:
    """Some addresses as a list in words."""
    every = [one for one in dict.fromkeys(addresses) if one]
    if len(every) > NAMED:
        return f"{', '.join(every[:NAMED])} and {len(every) - NAMED} more"
    return " and ".join(filter(None, (", ".join(every[:-1]), every[-1]))) if every else ""


def _answer(fate: str, reason: str, words: str, tried: str, rows: Sequence[StoryRecipient]) -> Answer:
    who = named(row.address for row in rows)
    beginning = sentences.BEGINNINGS[Fate(fate)][0].format(who) if who else sentences.BEGINNINGS[Fate(fate)][1]
    tried = f" after {tried}" if tried else ""
    link = " because " if fate == Fate.JUNK and words else ": " if words else ""
    extra: dict[str, Any] = {"advice": sentences.advice(reason), "said": sentences.said(reason, rows[0].text)}
    shown = "" if reason in sentences.WORDLESS else reason
    headline = f"{beginning}{tried}{link}{words}"
    end = "" if headline.endswith((".", "!", "?", "…")) else "."
    addresses = tuple(row.address for row in rows)
    return Answer(Fate(fate), sentences.TONES[Fate(fate)], f"{headline}{end}", shown, addresses=addresses, **extra)
