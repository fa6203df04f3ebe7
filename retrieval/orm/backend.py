"""What a retrieval process has once: the store service's client, the reader, threads for logins, timers."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from django.db import Error

from mailsuite.configuration import Configuration
from mailsuite.database.threads import DatabaseThreads
from mailsuite.directory.version import directory_version
from mailsuite.mail.client_network import Reach, network_around
from mailsuite.server.octets import OctetBudget
from mailsuite.store.operations import LeaseMaildrop, MarkFetched
from mailsuite.turns import FairTurns
from mailsuite.writer.client import StoreClient
from mailsuite.writer.operation import Refused as ServiceRefused
from mailsuite.writer.operation import StoreUnavailable as ServiceUnavailable
from mailsuite.writer.spool import Spool
from mailsuite.writer.storage import mail_storage
from retrieval.mail_values import Refused, StoreUnavailable
from retrieval.orm.changes import Changes
from retrieval.orm.reader import Reader, unavailable

logger = logging.getLogger(__name__)

LEASE_SECONDS = 120
RENEWAL_SECONDS = 40.0
VERSION_SECONDS = 1.0
LOGIN_SECONDS = 20.0
FETCHED_SECONDS = 1.0
FETCHED_MESSAGES = 500

P = ParamSpec("P")
T = TypeVar("T")


class Backend:
    """Made within the event loop; `run_timers` goes on until it is cancelled, `close` comes last. `octet_budget` counts
    what all sessions hold in memory."""

    def __init__(
        self,
        configuration: Configuration,
        client: StoreClient | None = None,
        octet_budget: OctetBudget | None = None,
    ) -> None:
        self.octet_budget = octet_budget or OctetBudget()
        self.client = client or StoreClient(configuration.store_socket)
        self.reader = Reader()
        self.search_turns = FairTurns(1)
        # One thread less than there are: sessions are looked after meanwhile.
        self._login_turns = FairTurns(os.cpu_count() or 1)
        self.changes = Changes(self.reader, self.client)
        self.storage = mail_storage()
        self.spool = Spool(self.storage, self.octet_budget)
        # Locks of POP3 sessions that live: token to mailbox.
        self.leases: dict[str, int] = {}
        self._logins = DatabaseThreads("login", (os.cpu_count() or 1) + 1, seconds=LOGIN_SECONDS, is_rare=True)
        self._fetched: dict[str, set[int]] = {}
        self._version, self._version_at = 0, float("-inf")

    async def run(self, operation: Any) -> Any:
        """The store service's answer. Raises Refused, StoreUnavailable, or StoreBug for what is our own fault."""
        try:
            return await self.client.run(operation)
        except ServiceRefused as refused:
            raise Refused(refused.code, refused.text) from None
        except ServiceUnavailable as error:
            raise StoreUnavailable(str(error)) from None

    async def in_directory(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` of the directory answers, from a thread. Raises StoreUnavailable."""
        try:
            return await self._logins.ask(function, *args, **kwargs)
        except (Error, TimeoutError) as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def login_turn(self, client_address: str) -> AsyncIterator[None]:
        """To be held by what may hash a password: networks take turns, so that a crowd of guessers waits for itself.
        Raises StoreUnavailable."""
        try:
            async with (
                asyncio.timeout(LOGIN_SECONDS),
                self._login_turns.turn(network_around(client_address, Reach.HOLDER)),
            ):
                yield
        except TimeoutError:
            raise StoreUnavailable("logins can't be checked in time") from None

    async def directory_version(self) -> int:
        """The directory's version, as it was at most a second ago."""
        if time.monotonic() - self._version_at > VERSION_SECONDS:
            self._version_at = time.monotonic()
            self._version = await self.reader.run(directory_version)
        return self._version

    def fetched(self, message_ids: Sequence[int], client: str) -> None:
        """Notes that these were read for the first time; told to the store service within a second, if it listens."""
        if message_ids:
            self._fetched.setdefault(client, set()).update(message_ids)

    async def run_timers(self) -> None:
        """Tell of changes, renew locks and report first readings, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.changes.run())
            tasks.create_task(_every(RENEWAL_SECONDS, self._renew_leases))
            tasks.create_task(_every(FETCHED_SECONDS, self._tell_fetched))

    async def close(self) -> None:
        """Report what is left to report, and end the threads and connections."""
        await self._tell_fetched()
        await self.client.close()
        self._logins.close()
        self.reader.close()

    async def _renew_leases(self) -> None:
        """All at once: they share the store's commits, and one that waits lets no other run out."""
        await asyncio.gather(*(self._renew_lease(token, mailbox_id) for token, mailbox_id in self.leases.items()))

    async def _renew_lease(self, token: str, mailbox_id: int) -> None:
        try:
            await self.run(LeaseMaildrop(mailbox_id, token, LEASE_SECONDS, renew=True))
        except Refused:
            # One that was released meanwhile has lost nothing.
            if self.leases.pop(token, None):
                logger.warning("a POP3 session has lost the lock of mailbox %d", mailbox_id)
        except StoreUnavailable:
            return

    async def _tell_fetched(self) -> None:
        fetched, self._fetched = self._fetched, {}
        for client, message_ids in fetched.items():
            ids = sorted(message_ids)
            for start in range(0, len(ids), FETCHED_MESSAGES):
                self.client.send(MarkFetched(ids[start : start + FETCHED_MESSAGES], client))


async def _every(seconds: float, work: Callable[[], Any]) -> None:
    """Works again and again; a failure is logged and ends nothing."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            logger.exception("a timer failed")
