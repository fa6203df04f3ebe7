import asyncio

import pytest
from django.db import InterfaceError, OperationalError

from mailsuite.writer.operation import StoreUnavailable
from smtpd_service.outbound import queue_reader
from smtpd_service.outbound.queue_reader import QueueReader


@pytest.mark.parametrize("problem", [OperationalError("gone"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_waited_for(monkeypatch, problem):
    """As a bug it would cost senders their notification of a failure."""

    def compose(fates, now):
        raise problem

    monkeypatch.setattr(queue_reader, "compose_notifications", compose)

    async def ask():
        reader = QueueReader()
        try:
            await reader.notifications([], None)
        finally:
            reader.close()

    with pytest.raises(StoreUnavailable):
        asyncio.run(ask())
