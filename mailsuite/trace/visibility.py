"""Which stories somebody may know of: those that one of their domains sent, or has an event in.

A Scope is the ids of these domains, or None for all. What a story holds of others is left out: a recipient's domain
hears nothing of the other recipients, who may have been blind copies.
"""

from collections.abc import Collection, Sequence
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from mailsuite.trace.models import Event, Story

Scope = Collection[int] | None
# Up to so many stories and events of a domain are listed before stories are looked at.
FEW = 5000


def visible(stories: QuerySet[Story], scope: Scope) -> QuerySet[Story]:
    """The stories that one of the scope's domains sent, or has an event in."""
    return stories if scope is None else stories.filter(touching(scope, Event.objects.filter(domain__in=scope)))


def touching(domains: Collection[int], events: QuerySet[Event]) -> Q:
    """Stories that one of the domains sent, or that have one of these events of theirs. A few are listed; where there
    are many, each story that is looked at is asked, newest first, so that a page of them is full soon."""
    sent = Story.objects.filter(sender_domain__in=domains)
    if all(rows.using("reader").order_by()[:FEW].count() < FEW for rows in (sent, events)):
        return any_of([ids_of(sent, "pk"), ids_of(events, "story_id")])
    return Q(sender_domain__in=domains) | Q(Exists(events.filter(story=OuterRef("pk"))))


def any_of(ids: Sequence[Any]) -> Q:
    """The stories that one of the queries names: a union, since neither database uses indexes on both sides of an OR
    with a subquery."""
    first, *others = ids
    return Q(pk__in=first.union(*others, all=True) if others else first)


def ids_of(rows: QuerySet[Any], name: str) -> Any:
    """The values of one column, as one of the queries of `any_of`."""
    return rows.order_by().values(name)
