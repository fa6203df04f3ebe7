"""What smtpd asks of the mailboxes' memory: who is known, and what a message's words say.

One `Memory` for each process. Small reads run as the directory's do (on SQLite in the loop, on PostgreSQL in a thread);
a message's text is always looked at in a thread, so that no mail, however made, holds up the others.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from django.db import connections

from mailsuite.authcheck.content import Content
from mailsuite.authcheck.report import AuthReport
from mailsuite.junk import filter as content_filter
from mailsuite.junk.contacts import was_sent_here
from mailsuite.junk.features import extract
from mailsuite.junk.reputation import standings
from mailsuite.junk.signs import signs_of
from mailsuite.server.pulse import WatchedPool
from mailsuite.verdict.facts import OpinionFact, StandingFact

T = TypeVar("T")
NOTHING_SECONDS = 1.0
# One thread reads for all messages: when it does not keep up, they are judged without.
ANSWER_SECONDS = 10.0


class Memory:
    def __init__(self) -> None:
        self._reader = WatchedPool(1, "junk")
        self._reads_inline = connections["reader"].vendor == "sqlite"
        # Mailboxes whose filters, and the site's, knew nothing, until when that is believed.
        self._knew_nothing: dict[int, float] = {}

    def close(self) -> None:
        self._reader.shutdown(wait=False)

    async def standings(
        self, mailbox_ids: Sequence[int], report: AuthReport, content: Content
    ) -> Mapping[int, StandingFact]:
        """What each mailbox's history says of the sender."""
        signs = signs_of(report, content.fields)
        return await self._read(lambda: standings(mailbox_ids, signs))

    async def was_sent_here(self, message_id: str, domain: str, to: Collection[str]) -> bool:
        """Whether a user of the domain, which is hosted here, sent a message with that Message-ID to one of those."""
        return await self._read(lambda: was_sent_here(message_id, domain, to))

    async def opinions(
        self, mailbox_ids: Sequence[int], report: AuthReport, content: Content
    ) -> Mapping[int, OpinionFact]:
        """What each mailbox's filter, or the site's, says of the message."""
        if await self._knows_nothing(mailbox_ids):
            return dict.fromkeys(mailbox_ids, content_filter.NEUTRAL)
        return await self._run(
            lambda: content_filter.classify_for(mailbox_ids, extract(content.header, content.body()))
        )

    async def _knows_nothing(self, mailbox_ids: Sequence[int]) -> bool:
        """Whether there is no need to read a message; yes for a moment after it was, since learning takes longer."""
        now = time.monotonic()
        if all(self._knew_nothing.get(one, 0.0) > now for one in mailbox_ids):
            return True
        if await self._read(lambda: content_filter.knows_anything(mailbox_ids)):
            return False
        self._knew_nothing |= dict.fromkeys(mailbox_ids, now + NOTHING_SECONDS)
        return True

    async def _read(self, question: Callable[[], T]) -> T:
        return _ask(question) if self._reads_inline else await self._run(question)

    async def _run(self, question: Callable[[], T]) -> T:
        return await self._reader.ask(_ask, question, seconds=ANSWER_SECONDS)


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except Exception:
        # A connection that broke is made anew next time.
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()
        raise
