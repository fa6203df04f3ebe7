"""DirectoryView over the directory's look-ups.

They read by small queries and remember what they read. On SQLite they run in the event loop, since a thread would cost
more than they do; on PostgreSQL, which may be another host, in one thread of their own.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailsuite.access.authentication import Authentication, authenticate, session_is_valid
from mailsuite.bounded import Expiring
from mailsuite.database.threads import DatabaseThreads
from mailsuite.directory import lookup
from mailsuite.directory.resolution import Resolution
from mailsuite.directory.version import directory_version
from mailsuite.mail.address import Address, Path
from mailsuite.mail.client_network import holder_key
from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.pipeline.parties import Submitter
from mailsuite.pipeline.services import LoginAnswer
from mailsuite.queue import kept
from mailsuite.signing import lookup as signing
from mailsuite.store import usage
from mailsuite.turns import FairTurns

HAS_ROOM_SECONDS = 5.0
# How long it is believed what a mailbox holds: a quota is over by no more than what comes within that time.
USED_SECONDS = 5.0
# Of so many mailboxes is what they hold, and may send, known.
REMEMBERED = 20_000
# Beyond these the client hears 451, and comes again.
READ_SECONDS = 10.0
LOGIN_SECONDS = 20.0


class OrmDirectory:
    """The directory of this installation's database. What it can't answer in time raises TimeoutError. `is_exhausted`
    says of a mailbox id whether its day's caps on sending are far behind it."""

    def __init__(self, *, is_exhausted: Callable[[int], bool]) -> None:
        self._is_exhausted = is_exhausted
        # Apart from the loop's own threads, which write messages: a crowd that guesses passwords must not hold them up.
        self._logins = DatabaseThreads("login", os.cpu_count() or 1, seconds=LOGIN_SECONDS, is_rare=True)
        self._login_turns = FairTurns(os.cpu_count() or 1)
        # Mailboxes that had not sent too much.
        self._has_room: Expiring[int, bool] = Expiring(REMEMBERED)
        # What mailboxes held, in octets.
        self._used: Expiring[int, int] = Expiring(REMEMBERED)
        self._reader = DatabaseThreads("directory", seconds=READ_SECONDS)

    def close(self) -> None:
        """Let go of its threads and of their connections to the database."""
        self._logins.close()
        self._reader.close()

    async def resolve(self, path: Path) -> Resolution:
        return await self._reader.read(lookup.resolve, path)

    async def is_hosted(self, domain: str) -> bool:
        return await self._reader.read(_is_hosted, domain)

    async def used_octets(self, mailbox_ids: Sequence[int]) -> dict[int, int]:
        """What these mailboxes hold, or held within USED_SECONDS."""
        now = time.monotonic()
        known = {one: octets for one in mailbox_ids if (octets := self._used.get(one, now)) is not None}
        unknown = [one for one in mailbox_ids if one not in known]
        if unknown:
            found = await self._reader.read(usage.used_octets, unknown)
            for one, octets in found.items():
                self._used.put(one, octets, now + USED_SECONDS)
            known |= found
        return known

    async def keeps_no_more(self, domain_id: int | None) -> bool:
        return await self._reader.read(kept.is_full, domain_id)

    async def may_send_as(self, user_id: int, address: Address) -> bool:
        return await self._reader.read(lookup.may_send_as, user_id, address)

    async def login(self, name: str, password: str, client_address: str) -> LoginAnswer:
        # Networks take turns, so that a crowd that guesses passwords waits for itself.
        async with asyncio.timeout(LOGIN_SECONDS), self._login_turns.turn(holder_key(client_address)):
            return await self._logins.ask(_login, name, password, client_address)

    async def still_holds(self, submitter: Submitter) -> bool:
        return await self._reader.read(_still_holds, submitter.login)

    async def has_sent_too_much(self, mailbox_id: int) -> bool:
        """No, for some seconds after it was no: what is too much is held all the same, by the store, which counts."""
        now = time.monotonic()
        if self._has_room.get(mailbox_id, now):
            return False
        found = await self._reader.read(self._is_exhausted, mailbox_id)
        if not found:
            self._has_room.put(mailbox_id, True, now + HAS_ROOM_SECONDS)
        return found

    async def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        return await self._reader.read(signing.signing_keys, domain)


@dataclass(frozen=True, slots=True)
class _Login:
    authentication: Authentication
    version: int


def _login(name: str, password: str, client_address: str) -> LoginAnswer:
    version = directory_version()
    found = authenticate(name, password, protocol="smtp", client_address=client_address)
    if not found.succeeded or found.user_id is None:
        return LoginAnswer(None, found.reason == "too-many-failures", found.delay_seconds)
    domain_id = lookup.resolve(found.address).domain_id if found.address else None
    submitter = Submitter(found.user_id, found.address or name, found.mailbox_id, domain_id, _Login(found, version))
    return LoginAnswer(submitter, delay_seconds=found.delay_seconds)


def _still_holds(login: _Login) -> bool:
    return login.version == directory_version() or session_is_valid(login.authentication)


def _is_hosted(domain: str) -> bool:
    return lookup.hosted_domain(domain) is not None
