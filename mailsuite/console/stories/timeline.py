"""The way of one message, told from first contact to last attempt, with what is known of where it came from.

`scope` is the ids of the domains that the asker may know of, or None for all (mailsuite.trace.visibility).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Q, QuerySet

from mailsuite.ids import first_id, from_reference
from mailsuite.queue.models import DeliveryAttempt
from mailsuite.store.models import Content
from mailsuite.trace.models import Event, Story
from mailsuite.trace.sentences import WORDLESS
from mailsuite.trace.visibility import Scope, visible

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
