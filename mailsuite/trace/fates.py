"""What became of messages, for lists and for the story's first lines; and finding them by it.

`scope` is as in services: a reader hears of the recipients at their domains, and the sender's side also of those at no
domain of ours.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from mailsuite.ids import first_id
from mailsuite.trace import sentences
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.trace.services import FEW, LOOK_BACK, Scope

Fate = StoryRecipient.Fate
# From what needs somebody most.
ORDER = {fate: position for position, fate in enumerate(Fate.values)}
# So many recipients of a story are read for its first lines, and so many are named in one.
MOST, NAMED = 500, 8
# Of so many recipients, the newest, the reasons are offered to filter by.
LATELY, OFFERED = 5_000, 30


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
        return sentences.why(self.fate, self.reason, self.text)

    @property
    def tone(self) -> str:
        return sentences.TONES[self.fate]

    @property
    def tries(self) -> str:
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
    rows = visible(StoryRecipient.objects.using("reader").filter(story__in=[one.pk for one in stories]), scope)
    groups: Any = rows.order_by().values("story_id", "fate")
    groups = list(groups.annotate(count=Count("pk"), first=Min("address"), last=Max("pk"), tried=Max("attempt_count")))
    last = StoryRecipient.objects.using("reader").in_bulk([group["last"] for group in groups])
    found: dict[int, list[Share]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: ORDER[group["fate"]]):
        # One that a result moved on meanwhile tells what is so by now.
        row = last.get(group["last"]) or StoryRecipient()
        share = Share(Fate(group["fate"]), group["count"], group["first"], row.reason, row.text, group["tried"])
        found[group["story_id"]].append(share)
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
    """Those of the recipients that the asker may know of."""
    if scope is None:
        return rows
    return rows.filter(Q(domain__in=scope) | Q(domain=None, story__sender_domain__in=scope))


def with_fate(stories: QuerySet[Story], fate: str, scope: Scope) -> QuerySet[Story]:
    """The stories of which one recipient fared so. A few are listed; where there are many, each story that is looked
    at is asked, newest first."""
    rows = visible(StoryRecipient.objects.filter(fate=fate), scope).order_by()
    if rows.using("reader")[:FEW].count() < FEW:
        return stories.filter(pk__in=rows.values("story_id"))
    return stories.filter(Exists(rows.filter(story=OuterRef("pk"))))


def with_reason(stories: QuerySet[Story], reason: str, scope: Scope) -> QuerySet[Story]:
    """The stories of the last weeks of which one recipient fared so for this reason."""
    rows = visible(StoryRecipient.objects.filter(reason=reason), scope).order_by()
    lately = stories.filter(pk__gte=first_id(datetime.now(UTC) - LOOK_BACK))
    return lately.filter(Exists(rows.filter(story=OuterRef("pk"))))


def reasons(scope: Scope) -> list[str]:
    """The commonest reasons of late, in the order of the alphabet."""
    rows = visible(StoryRecipient.objects.using("reader").all(), scope).order_by("-pk")
    counts = Counter(reason for reason in rows.values_list("reason", flat=True)[:LATELY])
    return sorted(reason for reason, _ in counts.most_common(OFFERED) if reason not in sentences.WORDLESS)


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
