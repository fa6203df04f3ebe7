"""Mail in the queue, put there the way the services do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

MESSAGE = b"From: ann@example.org\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n"


@pytest.fixture(autouse=True)
def forget_the_directory() -> None:
    """What an earlier test's directory held is remembered by its version, which each test begins anew."""
    from mailsuite.directory.cache import CACHE

    CACHE.clear()


@pytest.fixture(autouse=True)
def spool_left_empty() -> Iterator[None]:
    """Notifications that a test composes and nobody files would lie in the spool, which others look into."""
    from mailsuite.store.blobs import mail_storage

    yield
    for file in mail_storage().spool.glob("*"):
        file.unlink()


@pytest.fixture
def enqueue(db: None) -> Callable[..., Any]:
    """`enqueue("bob@remote.test", …)` puts a message for these into the queue and returns its row."""
    # Models can't be imported before the apps are ready, which they are not when this file is read.
    from mailsuite.ids import new_id
    from mailsuite.queue.models import QueuedMessage
    from mailsuite.store.blobs import mail_storage
    from mailsuite.store.handlers import execute
    from mailsuite.store.operations import Deliver, Outgoing, RemoteRecipient, StoryFacts

    def put(*recipients: str, octets: bytes = MESSAGE, notify: str = "", **envelope: Any) -> QueuedMessage:
        storage, name, now = mail_storage(), f"test-{new_id()}", datetime.now(UTC)
        storage.prepare()
        (storage.spool / name).write_bytes(octets)
        story_id = new_id()
        envelope.setdefault("reverse_path", "ann@example.org")
        envelope.setdefault("expires_at", now + timedelta(days=5))
        outgoing = Outgoing(
            prefix=b"Received: from client by us\r\n",
            recipients=[RemoteRecipient(to, to.rpartition("@")[2], notify) for to in recipients],
            **envelope,
        )
        story = StoryFacts(story_id, "submission", "accepted", now, reverse_path=envelope["reverse_path"])
        execute(Deliver(name, len(octets), story, outgoing=[outgoing]))
        return QueuedMessage.objects.get(story_id=story_id)

    return put
