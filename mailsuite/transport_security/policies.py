"""Which MTA-STS policy holds for a domain now: remembered, announced by its record, served (RFC 8461 §5.1).

A policy that is remembered holds until it runs out, whatever an attacker does to DNS or HTTPS meanwhile; a new id in
the record has it fetched anew, and a fetch that fails changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from django.db import Error

from mailsuite.bounded import Expiring
from mailsuite.database.threads import DatabaseThreads, drop_broken
from mailsuite.mail.client_network import Network
from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import Policy, PolicyError
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Resolver
from mailsuite.transport_security import known
from mailsuite.transport_security.fetching import FetchError, fetch_policy
from mailsuite.transport_security.known import Known

logger = logging.getLogger(__name__)

# For so long a delivery goes by what was found for the one before, without asking the database and DNS.
BRIEFLY_SECONDS = 60.0
MAX_BRIEFLY = 10_000
# How long a delivery waits for the database.
ANSWER_SECONDS = 60.0

Fetch = Callable[[str], Awaitable[Policy]]


@dataclass(frozen=True, slots=True)
class Sts:
    """What holds for a domain: `policy` None for nothing. `text` tells how it was come by, or why there is none;
    `failure` names the trouble as TLS reports do, even where a remembered policy still holds."""

    policy: Policy | None
    text: str
    failure: ResultType | None = None


class StsSource(Protocol):
    async def of(self, domain: str) -> Sts: ...


class Memory(Protocol):
    async def find(self, domain: str) -> Known: ...
    async def keep(self, domain: str, policy_id: str, policy: Policy) -> None: ...
    async def note_failure(self, domain: str, failure: str) -> None: ...


class StsPolicies:
    """Finds policies. `fetch` gets a domain, returns its policy, raises FetchError."""

    def __init__(self, resolver: Resolver, memory: Memory, fetch: Fetch) -> None:
        self._resolver, self._memory, self._fetch = resolver, memory, fetch
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, domain: str, *, anew: bool = False) -> Sts:
        """The policy of a domain; with `anew` it is fetched even where one is remembered."""
        lock = self._locks.setdefault(domain, asyncio.Lock())
        try:
            async with lock:
                return await self._of(domain, anew=anew)
        finally:
            if not lock.locked():
                self._locks.pop(domain, None)

    async def _of(self, domain: str, *, anew: bool) -> Sts:
        remembered = await self._memory.find(domain)
        answer = await self._resolver.query(mtasts.record_name(domain), "TXT")
        try:
            identifier = mtasts.find_id([text for text in answer.rdata if isinstance(text, bytes)])
        except PolicyError as error:
            text = f"the record at {mtasts.record_name(domain)} can't be used: {error}"
            return _else(remembered, text, ResultType.STS_POLICY_INVALID)
        if identifier is None:
            return _else(remembered, f"{domain} has no MTA-STS record", None)
        if remembered.policy and remembered.policy_id == identifier and not anew:
            return Sts(remembered.policy, "remembered from an earlier fetch")
        if not remembered.may_try and not anew:
            text = f"the last fetch failed, too recently to try again: {remembered.failure}"
            return _else(remembered, text, ResultType.STS_POLICY_FETCH_ERROR)
        try:
            policy = await self._fetch(domain)
        except FetchError as error:
            await self._memory.note_failure(domain, str(error))
            return _else(remembered, str(error), error.result)
        await self._memory.keep(domain, identifier, policy)
        return Sts(policy, f"fetched from {mtasts.policy_url(domain)}")


class Briefly:
    """What a source found, remembered for some seconds: the queue asks for each connection."""

    def __init__(self, source: StsSource, seconds: float = BRIEFLY_SECONDS, most: int = MAX_BRIEFLY) -> None:
        self._source, self._seconds = source, seconds
        self._found: Expiring[str, Sts] = Expiring(most)

    async def of(self, domain: str) -> Sts:
        clock = asyncio.get_running_loop().time
        if found := self._found.get(domain, clock()):
            return found
        sts = await self._source.of(domain)
        self._found.put(domain, sts, clock() + self._seconds)
        return sts


class DatabaseMemory:
    """Keeps policies in the database, by a thread of its own. `close` it. What can't be written is logged, since the
    policy holds for this delivery whether or not it is kept for the next; what can't be read raises."""

    def __init__(self) -> None:
        self._database = DatabaseThreads("policies", seconds=ANSWER_SECONDS)

    async def find(self, domain: str) -> Known:
        def read() -> Known:
            now = datetime.now(UTC)
            found = known.find(domain, now)
            if found.policy and found.is_use_forgotten:
                _written(lambda: known.note_use(domain, now))
            return found

        return await self._database.ask(read)

    async def keep(self, domain: str, policy_id: str, policy: Policy) -> None:
        await self._database.ask(_written, lambda: known.keep(domain, policy_id, policy, datetime.now(UTC)))

    async def note_failure(self, domain: str, failure: str) -> None:
        await self._database.ask(_written, lambda: known.note_failure(domain, failure, datetime.now(UTC)))

    def close(self) -> None:
        self._database.close()


def _written(work: Callable[[], object]) -> None:
    try:
        work()
    except Error as error:
        drop_broken()
        logger.warning("an MTA-STS policy can't be kept: %s", error)


def fetcher(resolver: Resolver, allowed: Sequence[Network]) -> Fetch:
    """What fetches from the network."""
    return lambda domain: fetch_policy(resolver, domain, allowed)


def _else(remembered: Known, text: str, failure: ResultType | None) -> Sts:
    """What was remembered, where there is nothing newer."""
    if remembered.policy is None:
        return Sts(None, text, failure)
    return Sts(remembered.policy, f"remembered from an earlier fetch ({text})", failure)
