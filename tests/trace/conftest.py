from datetime import UTC, datetime

import pytest
from django.db import connections

from mailsuite.directory.models import Domain
from mailsuite.ids import new_id
from mailsuite.trace.operations import StoryFacts
from mailsuite.trace.telling import insert_story
from mailsuite.writer.batch import Batch

NOON = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def one_connection(db):
    """The reader sees what the test's own transaction has written."""
    reader, connections["reader"] = connections["reader"], connections["default"]
    yield
    connections["reader"] = reader


@pytest.fixture
def facts():
    """`facts("refused", reason=…)` is what a story is made of; it came from another host at NOON unless said."""

    def make(outcome="accepted", **more):
        return StoryFacts(**({"story_id": new_id(), "kind": "inbound", "outcome": outcome, "at": NOON} | more))

    return make


@pytest.fixture
def tell(db, facts):
    """Writes a story with its events, as a batch of the writer does; returns its id."""

    def write(*events, outcome="accepted", reading=None, **more):
        batch, story = Batch(), facts(outcome, events=list(events), **more)
        insert_story(batch, story, story.events, reading)
        batch.finish()
        return story.story_id

    return write


@pytest.fixture
def domains(db):
    return [Domain.objects.create(name=name).pk for name in ("ours.example", "theirs.example")]
