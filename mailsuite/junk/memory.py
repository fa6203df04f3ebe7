"""What smtpd asks of the mailboxes' memory: who is known, and what a message's words say.

One `Memory` for each process. Small reads run as the directory's do (on SQLite in the loop, on PostgreSQL in a thread);
a message's text is always looked at in a thread, so that no mail, however made, holds up the others.
"""

import time
from collections.abc import Collection, Mapping, Sequence

from mailsuite.authcheck.content import Content
from mailsuite.authcheck.report import AuthReport
from mailsuite.bounded import Expiring
from mailsuite.database.threads import DatabaseThreads
from mailsuite.junk import filter as content_filter
from mailsuite.junk.contacts import was_sent_here
from mailsuite.junk.features import extract
from mailsuite.junk.reputation import standings
from mailsuite.junk.signs import signs_of
from mailsuite.verdict.facts import OpinionFact, StandingFact

NOTHING_SECONDS = 1.0
REMEMBERED = 20_000
# One thread reads for all messages: when it does not keep up, they are judged without.
ANSWER_SECONDS = 10.0


class Memory:
    def __init__(self) -> None:
        self._database = DatabaseThreads("junk", seconds=ANSWER_SECONDS)
        # Mailboxes whose filters, and the site's, knew nothing.
        self._knew_nothing: Expiring[int, bool] = Expiring(REMEMBERED)

    def close(self) -> None:
        self._database.close()

    async def standings(
        self, mailbox_ids: Sequence[int], report: AuthReport, content: Content
    ) -> Mapping[int, StandingFact]:
        """What each mailbox's history says of the sender."""
        signs = signs_of(report, content.header)
        return await self._database.read(standings, mailbox_ids, signs)

    async def was_sent_here(self, message_id: str, domain: str, to: Collection[str]) -> bool:
        """Whether a user of the domain, which is hosted here, sent a message with that Message-ID to one of those."""
        return await self._database.read(was_sent_here, message_id, domain, to)

    async def opinions(
        self, mailbox_ids: Sequence[int], report: AuthReport, content: Content
    ) -> Mapping[int, OpinionFact]:
        """What each mailbox's filter, or the site's, says of the message."""
        if await self._knows_nothing(mailbox_ids):
            return dict.fromkeys(mailbox_ids, content_filter.NEUTRAL)
        return await self._database.ask(
            lambda: content_filter.classify_for(mailbox_ids, extract(content.header, content.body()))
        )

    async def _knows_nothing(self, mailbox_ids: Sequence[int]) -> bool:
        """Whether there is no need to read a message; yes for a moment after it was, since learning takes longer."""
        now = time.monotonic()
        if all(self._knew_nothing.get(one, now) for one in mailbox_ids):
            return True
        if await self._database.read(content_filter.knows_anything, mailbox_ids):
            return False
        for one in mailbox_ids:
            self._knew_nothing.put(one, True, now + NOTHING_SECONDS)
        return True
