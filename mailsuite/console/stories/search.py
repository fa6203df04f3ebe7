"""Finding the stories of messages by what people know of them: an address, a subject, a day, a queue id.

`scope` is the ids of the domains that the asker may know of, or None for all (mailsuite.trace.visibility).
"""

import re
import shlex
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from mailsuite.directory.models import Domain
from mailsuite.ids import first_id, from_reference
from mailsuite.mail.address import AddressError, address_key, read_domain
from mailsuite.queue.models import QueuedMessage
from mailsuite.trace.models import Event, Story
from mailsuite.trace.visibility import Scope, any_of, ids_of, touching, visible

# Words that no index answers are looked for in this much of the past.
LOOK_BACK = timedelta(days=30)


def find(words: str, scope: Scope = None, limit: int = 50) -> list[Story]:
    """The newest stories that fit all of the words: see `matching`."""
    return list(matching(Story.objects.using("reader").all(), words, scope)[:limit])


def matching(stories: QuerySet[Story], words: str, scope: Scope = None) -> QuerySet[Story]:
    """Those of the stories that fit all of the words, newest first.

    A word is a queue id, an address, a Message-ID, a domain, a day (2026-11-23), an IP address or network's beginning,
    an outcome or kind (refused, inbound), or a part of the subject or sender.
    """
    stories, parts = visible(stories, scope), _split(words)
    for part in parts:
        stories = stories.filter(_condition(part, scope))
    if parts and not any(_is_indexed(part) for part in parts):
        stories = stories.filter(pk__gte=first_id(datetime.now(UTC) - LOOK_BACK))
    return stories.order_by("-pk")


def with_domain(stories: QuerySet[Story], name: str, scope: Scope = None) -> QuerySet[Story]:
    """Those of the stories that came from or went to the hosted domain, as far as the asker may know."""
    domain = _domain(name)
    return stories.filter(_of_domain(domain, scope)) if domain else stories.none()


def on_day(stories: QuerySet[Story], day: date) -> QuerySet[Story]:
    """Those of the stories that began on the day (UTC)."""
    return stories.filter(_within_day(day))


def day_of(word: str) -> date | None:
    """The day (UTC) that the word names, as 2026-11-23; None for what is none."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", word):
        return None
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError:
        return words.split()


def _condition(word: str, scope: Scope) -> Q:
    """What a word asks for."""
    if (number := from_reference(word)) is not None:
        queued = QueuedMessage.objects.using("reader").filter(pk=number).values_list("story_id", flat=True)
        return Q(pk__in=[number, *(story_id for story_id in queued if story_id)])
    if day := day_of(word):
        return _within_day(day)
    if word.lower() in Story.Outcome.values:
        return Q(outcome=word.lower())
    if word.lower() in Story.Kind.values:
        return Q(kind=word.lower())
    if "@" in word.strip("<>") and not word.startswith("@"):
        return _address_condition(word, scope)
    if domain := _domain(word.removeprefix("@")):
        return _of_domain(domain, scope)
    condition = Q(subject__icontains=word) | Q(reverse_path__icontains=word) | _client_condition(word, scope)
    if name := _domain_name(word.removeprefix("@")):
        lately = Event.objects.filter(pk__gte=first_id(datetime.now(UTC) - LOOK_BACK))
        events = lately.filter(address_key__endswith=f"@{name}").values("story_id")
        condition |= Q(pk__in=_own(events, scope))
    return condition


def _of_domain(domain: Domain, scope: Scope) -> Q:
    is_own = scope is None or domain.pk in scope
    return touching([domain.pk], Event.objects.filter(domain=domain) if is_own else Event.objects.none())


def _within_day(day: date) -> Q:
    first = datetime.combine(day, time(), UTC)
    return Q(pk__gte=first_id(first), pk__lt=first_id(first + timedelta(days=1)))


def _client_condition(word: str, scope: Scope) -> Q:
    known = Q() if scope is None else ~Q(kind=Story.Kind.SUBMISSION) | Q(sender_domain__in=scope)
    return Q(client_address__startswith=word) & known


def _address_condition(word: str, scope: Scope) -> Q:
    """An address that sent or was sent to, or a Message-ID, which has the same shape."""
    bare = word.strip("<>")
    ids = [ids_of(Story.objects.filter(message_id__in=[bare, f"<{bare}>"]).exclude(message_id=""), "pk")]
    try:
        key = address_key(bare)
    except AddressError:
        return any_of(ids)
    events = _own(Event.objects.filter(address_key=key), scope)
    return any_of([*ids, ids_of(Story.objects.filter(sender_key=key), "pk"), ids_of(events, "story_id")])


def _own(events: Any, scope: Scope) -> Any:
    """To find a story by a recipient that one may not see would tell of it."""
    return (
        events if scope is None else events.filter(Q(domain__in=scope) | Q(domain=None, story__sender_domain__in=scope))
    )


def _is_indexed(word: str) -> bool:
    """Whether an index leads from the word to a few stories."""
    return from_reference(word) is not None or "@" in word.strip("<>")[1:] or day_of(word) is not None


def _domain(word: str) -> Domain | None:
    """The hosted domain of that name, else the one of the name that was removed last."""
    name = _domain_name(word)
    rows = Domain.objects.filter(name=name).order_by(F("removed_at").desc(nulls_first=True))
    return rows.first() if name else None


def _domain_name(word: str) -> str:
    """The domain as rows have it; "" when the word is none."""
    try:
        return read_domain(word) if "." in word.rstrip(".") else ""
    except AddressError:
        return ""
