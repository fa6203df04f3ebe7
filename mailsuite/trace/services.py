"""The story of a message: found by what people know of it, told from first contact to last attempt.

`scope` is the ids of the domains that the asker may know of, or None for all. What a story holds of others is left out:
a recipient's domain hears nothing of the other recipients, who may have been blind copies.
"""

import json
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from mailsuite.directory.models import Domain
from mailsuite.ids import first_id, from_reference
from mailsuite.mail.address import AddressError, address_key, read_domain
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage
from mailsuite.store.models import Content
from mailsuite.trace.models import Event, Story
from mailsuite.trace.sentences import WORDLESS

Scope = Collection[int] | None

# Words that no index answers are looked for in this much of the past.
LOOK_BACK = timedelta(days=30)
# Up to so many stories and events of a domain are listed before stories are looked at.
FEW = 5000
FILED_WITHIN = timedelta(minutes=30)
# Of so many recipients each has a line of its own, when the same happened to them at once.
ALIKE = 5
GOOD, WAITING, BAD, PLAIN = "good", "waiting", "bad", "plain"
TONES = {
    "filed": GOOD, "delivered": GOOD, "relayed": GOOD, "fetched": GOOD, "delayed": WAITING, "held": WAITING,
    "queued": PLAIN, "failed": BAD, "refused": BAD, "dropped": BAD, "bounced": BAD,
}  # fmt: skip
OUTCOME_TONES = {"accepted": GOOD, "deferred": WAITING, "refused": BAD}
FACTS = {
    "listener": "Listener", "helo": "Greeting", "tls": "TLS", "user": "Signed in as", "signed_by": "Signed with",
    "from_given": "From as it came", "blank_line": "Blank line added", "reply": "Reply", "about": "About",
}  # fmt: skip
# Told by events, of which each reader sees their own, and by findings.py.
HIDDEN_FACTS = {"recipients", "authentication", "verdict"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `kind` is its word, `detail` lines of small print such as the dialog with a peer."""

    at: datetime
    kind: str
    title: str
    text: str = ""
    detail: str = ""
    tone: str = PLAIN


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


def visible(stories: QuerySet[Story], scope: Scope) -> QuerySet[Story]:
    """The stories that one of the scope's domains sent, or has an event in."""
    return stories if scope is None else stories.filter(_touching(scope, Event.objects.filter(domain__in=scope)))


def with_domain(stories: QuerySet[Story], name: str, scope: Scope = None) -> QuerySet[Story]:
    """Those of the stories that came from or went to the hosted domain, as far as the asker may know."""
    domain = _domain(name)
    return stories.filter(_of_domain(domain, scope)) if domain else stories.none()


def on_day(stories: QuerySet[Story], day: date) -> QuerySet[Story]:
    """Those of the stories that began on the day (UTC)."""
    return stories.filter(_within_day(day))


def tell(story: Story, scope: Scope = None) -> list[Line]:
    """The whole way of the message as lines in order of time."""
    lines = [_beginning(story, is_whole=knows_client(story, scope))]
    for (kind, at, text, reason), events in groupby(_events(story, scope), key=_what_happened):
        lines += _lines(kind, at, text, reason, [event.address for event in events])
    lines += [_attempt(attempt) for attempt in _attempts(story, scope)]
    return sorted(lines, key=lambda line: line.at)


def _what_happened(event: Event) -> tuple[str, datetime, str, str]:
    """The event but for whom it happened to. What was held from the start is one event."""
    kind = "held" if (event.kind, event.reason) == ("queued", "held") else event.kind
    return kind, event.at, event.text, event.reason


def _lines(kind: str, at: datetime, text: str, reason: str, addresses: Sequence[str]) -> list[Line]:
    """A line for each, or one for many to whom the same happened at once: a thousand lines tell nobody anything."""
    tone = TONES.get(kind, PLAIN)
    says_nothing = reason in (kind, *WORDLESS) or reason in text
    detail = "" if says_nothing else reason
    if len(addresses) <= ALIKE:
        return [Line(at, kind, f"{kind} {address}".strip(), text, detail, tone) for address in addresses]
    every = "\n".join(filter(None, (detail, ", ".join(addresses))))
    return [Line(at, kind, f"{kind} {len(addresses)} recipients", text, every, tone)]


def knows_client(story: Story, scope: Scope) -> bool:
    """Whether the asker may hear from where and how it came: of our users' own machines only their side may."""
    return scope is None or story.kind != Story.Kind.SUBMISSION or story.sender_domain_id in scope


def origin(story: Story) -> str:
    """Where it came from, in words: nobody is one of our users before having signed in."""
    is_stranger = story.kind == Story.Kind.SUBMISSION and not dict(facts(story)).get(FACTS["user"])
    if is_stranger:
        return "at a port for our users"
    made = story.why if story.kind == Story.Kind.NOTIFICATION else ""
    return f"{story.get_kind_display()}: {made}" if made else story.get_kind_display()


def about(story: Story, scope: Scope = None) -> Story | None:
    """The message that a notification is about, when the asker may know of it."""
    pk = from_reference(dict(facts(story)).get(FACTS["about"], ""))
    return None if pk is None else visible(Story.objects.using("reader"), scope).filter(pk=pk).first()


def header(story: Story) -> str:
    """The message's header block as text; "" when it is gone or too large to be kept in a row."""
    first, last = _near(story)
    contents = Content.objects.using("reader").filter(pk__gte=first, pk__lt=last, message_id=story.message_id)
    own = contents.filter(Q(messages__story_id=story.pk) | Q(queued__story_id=story.pk))
    block = own.values_list("header", flat=True).first()
    return bytes(block).decode(errors="replace") if block else ""


def facts(story: Story) -> list[tuple[str, str]]:
    """What is known of the connection, the checks and the signing, as label and text."""
    try:
        data: dict[str, Any] = json.loads(story.data)
    except ValueError:
        return []
    if not isinstance(data, dict):
        return []
    return [
        (FACTS.get(name, name.replace("_", " ").capitalize()), _plain(value))
        for name, value in data.items()
        if name not in HIDDEN_FACTS and value
    ]


def _events(story: Story, scope: Scope) -> QuerySet[Event]:
    events = Event.objects.using("reader").filter(story_id=story.pk).order_by("pk")
    if scope is None:
        return events
    # The sender's side may know where its own mail went, other hosts included; a recipient's side its own part alone.
    own = Q(domain__in=scope)
    return events.filter(own | Q(domain=None) if story.sender_domain_id in scope else own)


def _attempts(story: Story, scope: Scope) -> QuerySet[DeliveryAttempt]:
    first, last = _near(story)
    attempts = DeliveryAttempt.objects.using("reader").filter(
        recipient__message__gte=first, recipient__message__lt=last, recipient__message__story_id=story.pk
    )
    if scope is not None:
        attempts = attempts.filter(recipient__message__domain__in=scope)
    return attempts.select_related("recipient").order_by("started_at")


def _beginning(story: Story, *, is_whole: bool) -> Line:
    # Clients without a name greet with their address.
    name = "" if story.client_address in story.client_name else f"{story.client_name} "
    where = f" from {name}[{story.client_address}]" if is_whole and story.client_address else ""
    verb = {"accepted": "Accepted", "refused": "Refused", "deferred": "Deferred"}.get(story.outcome, story.outcome)
    text = story.reason
    if story.kind == Story.Kind.NOTIFICATION:
        verb, text = "Made here", story.why
    detail = "\n".join(f"{label}: {text}" for label, text in (facts(story) if is_whole else ()))
    return Line(story.at, story.outcome, f"{verb}{where}", text, detail, OUTCOME_TONES.get(story.outcome, PLAIN))


def _attempt(attempt: DeliveryAttempt) -> Line:
    host = attempt.remote_host or "no host reached"
    peer = f"{host} [{attempt.remote_address}]" if attempt.remote_address else host
    took = f" after {(attempt.ended_at - attempt.started_at).total_seconds():.1f} s" if attempt.ended_at else ""
    detail = "\n".join(filter(None, (attempt.tls and f"TLS: {attempt.tls}", attempt.dialog)))
    return Line(
        attempt.started_at,
        "attempt",
        f"tried {attempt.recipient.forward_path} at {peer}{took}",
        attempt.reply or ("no answer yet" if attempt.ended_at is None else ""),
        detail,
        TONES.get(attempt.outcome, PLAIN),
    )


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
    return _touching([domain.pk], Event.objects.filter(domain=domain) if is_own else Event.objects.none())


def _within_day(day: date) -> Q:
    first = datetime.combine(day, time(), UTC)
    return Q(pk__gte=first_id(first), pk__lt=first_id(first + timedelta(days=1)))


def _client_condition(word: str, scope: Scope) -> Q:
    known = Q() if scope is None else ~Q(kind=Story.Kind.SUBMISSION) | Q(sender_domain__in=scope)
    return Q(client_address__startswith=word) & known


def _address_condition(word: str, scope: Scope) -> Q:
    """An address that sent or was sent to, or a Message-ID, which has the same shape."""
    bare = word.strip("<>")
    ids = [_ids(Story.objects.filter(message_id__in=[bare, f"<{bare}>"]).exclude(message_id=""), "pk")]
    try:
        key = address_key(bare)
    except AddressError:
        return any_of(ids)
    events = _own(Event.objects.filter(address_key=key), scope)
    return any_of([*ids, _ids(Story.objects.filter(sender_key=key), "pk"), _ids(events, "story_id")])


def _touching(domains: Collection[int], events: QuerySet[Event]) -> Q:
    """Stories that one of the domains sent, or that have one of these events of theirs. A few are listed; where there
    are many, each story that is looked at is asked, newest first, so that a page of them is full soon."""
    sent = Story.objects.filter(sender_domain__in=domains)
    if all(rows.using("reader").order_by()[:FEW].count() < FEW for rows in (sent, events)):
        return any_of([_ids(sent, "pk"), _ids(events, "story_id")])
    return Q(sender_domain__in=domains) | Q(Exists(events.filter(story=OuterRef("pk"))))


def _ids(rows: QuerySet[Any], name: str) -> Any:
    return rows.order_by().values(name)


def any_of(ids: Sequence[Any]) -> Q:
    """The stories that one of the queries names: a union, since neither database uses indexes on both sides of an OR
    with a subquery."""
    first, *others = ids
    return Q(pk__in=first.union(*others, all=True) if others else first)


def _own(events: Any, scope: Scope) -> Any:
    """To find a story by a recipient that one may not see would tell of it."""
    return (
        events if scope is None else events.filter(Q(domain__in=scope) | Q(domain=None, story__sender_domain__in=scope))
    )


def _is_indexed(word: str) -> bool:
    """Whether an index leads from the word to a few stories."""
    return from_reference(word) is not None or "@" in word.strip("<>")[1:] or day_of(word) is not None


def day_of(word: str) -> date | None:
    """The day (UTC) that the word names, as 2026-11-23; None for what is none."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", word):
        return None
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None


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


def _near(story: Story) -> tuple[int, int]:
    """The ids that rows written with the story can have: they ascend with time, and no index leads from it to them."""
    return first_id(story.at - FILED_WITHIN), first_id(story.at + FILED_WITHIN)


def _plain(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name.replace('_', ' ')} {_plain(item)}" for name, item in value.items())
        case list():
            return ", ".join(map(_plain, value))
        case bool():
            return "yes" if value else "no"
    return str(value)
