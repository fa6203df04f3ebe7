"""Tells sessions that a folder they watch has changed: by hints of the store service, and by a check of our own in case
one was lost. One for each process.

Truth is the folder's highest_modseq. A hint that is lost costs a moment: every 100 ms SQLite is asked whether anybody
has committed, and if so, once for all sessions, which of the watched folders have moved on. PostgreSQL has no such
number and is asked for the folders every two seconds.
"""

import asyncio
import logging
from collections.abc import Iterable

from mailsuite.writer.client import StoreClient
from mailsuite.writer.operation import Hint
from mailsuite.writer.operation import StoreUnavailable as ServiceUnavailable
from retrieval.mail_values import StoreUnavailable
from retrieval.orm import reads
from retrieval.orm.reader import Reader

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.1
CHECK_SECONDS_WITHOUT_VERSION = 2.0
FOLDERS_OF_A_CHECK = 500


class Changes:
    """`watch` and `forget` keep the sessions' events; `run` sets them until it is cancelled."""

    def __init__(self, reader: Reader, client: StoreClient) -> None:
        self._reader, self._client = reader, client
        self._watchers: dict[int, set[asyncio.Event]] = {}
        self._seen: dict[int, int] = {}
        self._version: int | None = None

    def watch(self, folder_id: int, event: asyncio.Event) -> None:
        """Sets the event when the folder changes, and once soon: what changed just before nobody watched."""
        self._watchers.setdefault(folder_id, set()).add(event)
        self._seen.pop(folder_id, None)
        self._version = None

    def forget(self, folder_id: int, event: asyncio.Event) -> None:
        """Set the event no more when the folder changes."""
        events = self._watchers.get(folder_id, set())
        events.discard(event)
        if not events:
            self._watchers.pop(folder_id, None)
            self._seen.pop(folder_id, None)

    async def run(self) -> None:
        """Go by the service's hints, and ask the database now and then in case one is lost; until cancelled."""
        hints = asyncio.ensure_future(self._take_hints())
        try:
            while True:
                pause = await self._check()
                await asyncio.sleep(pause)
        finally:
            hints.cancel()

    async def _take_hints(self) -> None:
        while True:
            try:
                return await self._client.watch(self._hinted)
            except ServiceUnavailable:
                await asyncio.sleep(CHECK_SECONDS)

    def _hinted(self, hint: Hint) -> None:
        self._tell(hint.folder_ids)

    def _tell(self, folder_ids: Iterable[int]) -> None:
        for folder_id in folder_ids:
            for event in self._watchers.get(folder_id, ()):
                event.set()

    async def _check(self) -> float:
        """Tells of what has moved on since the last check; returns after how many seconds to check again."""
        try:
            version = await self._reader.run(reads.data_version)
            if version is None or version != self._version:
                await self._compare()
            self._version = version
        except StoreUnavailable as error:
            logger.warning("the database can't be asked for changes: %s", error)
            return CHECK_SECONDS_WITHOUT_VERSION
        except Exception:
            # All sessions of the process depend on the next check, and on the timers beside it.
            logger.exception("checking for changes failed")
            return CHECK_SECONDS_WITHOUT_VERSION
        return CHECK_SECONDS_WITHOUT_VERSION if version is None else CHECK_SECONDS

    async def _compare(self) -> None:
        """A folder that nobody has looked at yet, or that is gone, counts as moved on: its session will see."""
        watched = list(self._watchers)
        for start in range(0, len(watched), FOLDERS_OF_A_CHECK):
            portion = watched[start : start + FOLDERS_OF_A_CHECK]
            now = await self._reader.run(reads.highest_modseqs, portion)
            self._tell(folder_id for folder_id in portion if self._seen.get(folder_id, -1) != now.get(folder_id))
            self._seen.update((folder_id, modseq) for folder_id, modseq in now.items() if folder_id in self._watchers)
