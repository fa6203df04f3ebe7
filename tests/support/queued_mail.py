"""Mail in the queue, put there the way the services do."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

MESSAGE = b"From: ann@example.org\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n"


@pytest.fixture(autouse=True)
def forget_the_directory() -> None:
    """What an earlier test's directory held is remembered by its version, which each test begins anew."""
    from mailsuite.directory.cache import CACHE

    CACHE.clear()


@pytest.fixture
def enqueue(db: None) -> Callable[..., Any]:
    """`enqueue("bob@remote.test", …)` puts a message for these into the queue and returns its row."""
    # Models can't be imported before the apps are ready, which they are not when this file is read.
    from mailsuite.ids import new_id
    from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
    from mailsuite.queue.models import QueuedMessage
    from mailsuite.store.operations import Deliver, Outgoing, RemoteRecipient
    from mailsuite.trace.operations import StoryFacts
    from mailsuite.writer.run import execute
    from mailsuite.writer.storage import mail_storage

    def put(*recipients: str, octets: bytes = MESSAGE, notify: str = "", **envelope: Any) -> QueuedMessage:
        mail_storage().prepare()
        story_id, now = new_id(), datetime.now(UTC)
        envelope.setdefault("reverse_path", "ann@example.org")
        envelope.setdefault("expires_at", now + timedelta(days=5))
        outgoing = Outgoing(
            Envelope(**{name: envelope.pop(name) for name in Envelope.__struct_fields__ if name in envelope}),
            prefix=b"Received: from client by us\r\n",
            recipients=[RemoteRecipient(EnvelopeRecipient(to, notify), to.rpartition("@")[2]) for to in recipients],
            **envelope,
        )
        story = StoryFacts(story_id, "submission", "accepted", now, reverse_path=outgoing.envelope.reverse_path)
        execute(Deliver.carrying(octets, story, outgoing=[outgoing]))
        return QueuedMessage.objects.get(story_id=story_id)

    return put
