"""Refusals and connections that changed nothing: buffered, written once a second, collapsed when there are many.

They may be lost in a crash, and an attack must not fill the database: beyond a few a minute of one network and reason
they become one row with a count.
"""

import logging
from collections import Counter
from datetime import datetime

from django.db import DatabaseError
from django.db.models import F

from mailsuite.database.patience import brief_transaction
from mailsuite.database.threads import drop_broken
from mailsuite.ids import reference
from mailsuite.trace.models import RefusalCount
from mailsuite.trace.operations import StoryFacts, TellStory
from mailsuite.trace.telling import insert_story
from mailsuite.writer.batch import Batch

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
STORIES_A_MINUTE = 10  # of one network and reason
STORIES_A_FLUSH = 200
# A message that is refused as a whole has as many events as recipients.
EVENTS_A_FLUSH = 2000

Key = tuple[str, str, datetime]


class RefusalBuffer:
    """`due` is the monotonic time of the next flush, None when there is nothing to write."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._stories: list[StoryFacts] = []
        self._events = 0
        self._seen: Counter[Key] = Counter()
        self._collapsed: Counter[Key] = Counter()
        self._examples: dict[Key, str] = {}

    def add(self, operation: TellStory, now: float) -> None:
        """Takes one refusal (or many alike) to be written by a later flush; `now` is monotonic, in seconds."""
        story, network, count = operation.story, operation.network, operation.count
        self.due = self.due or now + FLUSH_SECONDS
        key = (network[:50], story.reason, story.at.replace(second=0, microsecond=0))
        self._seen[key] += count
        if count == 1 and self._seen[key] <= STORIES_A_MINUTE and self._has_room():
            self._stories.append(story)
            self._events += len(story.events)
            return
        self._collapsed[key] += count
        self._examples.setdefault(key, f"{reference(story.story_id)} {story.client_name} {story.data}"[:2000])

    def _has_room(self) -> bool:
        return len(self._stories) < STORIES_A_FLUSH and self._events < EVENTS_A_FLUSH

    def flush(self, now: float) -> None:
        """Writes what has gathered, where it is due. What the database does not take is lost, and logged as such."""
        if self.due is None or self.due > now:
            return
        stories, self._stories, self._events = self._stories, [], 0
        collapsed, self._collapsed = self._collapsed, Counter()
        examples, self._examples = self._examples, {}
        self.due = None
        if self._seen:
            newest = max(key[2] for key in self._seen)
            self._seen = Counter({key: count for key, count in self._seen.items() if key[2] == newest})
        try:
            _write(stories, collapsed, examples)
        except DatabaseError as error:
            logger.warning("%d refusals could not be written: %s", len(stories) + collapsed.total(), error)
            drop_broken()


def _write(stories: list[StoryFacts], collapsed: Counter[Key], examples: dict[Key, str]) -> None:
    with brief_transaction():
        batch = Batch()
        for story in stories:
            insert_story(batch, story, story.events, None)
        batch.finish()
        for (network, reason, minute), count in collapsed.items():
            row, _ = RefusalCount.objects.get_or_create(
                network=network, reason=reason, minute=minute, defaults={"example": examples[network, reason, minute]}
            )
            RefusalCount.objects.filter(pk=row.pk).update(count=F("count") + count)
