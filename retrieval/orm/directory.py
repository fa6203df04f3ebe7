"""Checks logins against mailsuite.directory and opens the mailbox that was logged in to."""

import asyncio
from typing import Literal

from mailsuite.access.authentication import authenticate
from retrieval.mail_store import MailStore
from retrieval.mail_values import LoginAnswer, StoreUnavailable
from retrieval.orm.backend import Backend
from retrieval.orm.store import OrmStore

# What a stranger may be told (mailsuite.access.authentication); anything else is a wrong name or password.
_REASONS = {"too-many-failures": "throttled"}


class OrmDirectory:
    """Directory (retrieval.mail_store): one for each process."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def login(
        self, name: str, password: str, *, protocol: Literal["imap", "pop3"], client_address: str
    ) -> tuple[LoginAnswer, MailStore | None]:
        """The answer, once the delay that it comes with is over, and the mailbox's store."""
        try:
            async with self._backend.login_turn(client_address):
                answer = await self._backend.in_directory(
                    authenticate, name, password, protocol=protocol, client_address=client_address
                )
        except StoreUnavailable:
            return LoginAnswer(None, "unavailable"), None
        await asyncio.sleep(answer.delay_seconds)
        if not answer.succeeded:
            return LoginAnswer(None, _REASONS.get(answer.reason, "wrong")), None
        store = OrmStore(self._backend, answer)
        return LoginAnswer(store.principal), store
