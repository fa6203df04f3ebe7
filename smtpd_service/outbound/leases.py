"""What this worker holds of the queue, and until when: leases are renewed while their mail is being worked on."""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from mailsuite.queue.operations import Claim, ClaimDue, RenewClaims
from mailsuite.writer.operation import StoreBug, StoreUnavailable

logger = logging.getLogger(__name__)

LEASE_SECONDS = 1500
RENEW_EVERY_SECONDS = 120.0
# RFC 5321 §4.5.3.2.6: the reply to the final dot may take ten minutes, and the lease must outlast it.
FINISH_SECONDS = 600 + 60
SLICE = 500
# The store does it all the same, once it can; a service that is being stopped does not wait for that.
GIVE_BACK_SECONDS = 5.0
# Other hosts' clocks run on while this one is suspended.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Store(Protocol):
    async def run(self, operation: Any) -> Any: ...


class Leases:
    """Recipient ids held under one token. Lease ends are measured from before the store was asked."""

    def __init__(self, store: Store, token: str, lease_seconds: int = LEASE_SECONDS) -> None:
        self.token = token
        self._store, self._seconds = store, lease_seconds
        self._ends: dict[int, float] = {}
        # Whether the store may have leased what it could not tell us of.
        self.has_strays = False

    def __len__(self) -> int:
        return len(self._ends)

    async def claim(self, limit: int, busy_destinations: Collection[str], *, fresh: bool = False) -> list[Claim]:
        """Takes what is due, or of that only what was never tried. Raises StoreUnavailable.

        What is held already only gets a new lease: it fell due when the clock jumped, and is being delivered.
        """
        asked_at = _now()
        try:
            claims: list[Claim] = await self._store.run(
                ClaimDue(self.token, limit, self._seconds, sorted(busy_destinations), fresh)
            )
        except (StoreUnavailable, StoreBug):
            self.has_strays = True
            raise
        taken = [claim for claim in claims if claim.recipient_id not in self._ends]
        self._ends.update((claim.recipient_id, asked_at + self._seconds) for claim in claims)
        return taken

    def holds(self, recipient_id: int) -> bool:
        return recipient_id in self._ends

    async def may_finish(self, recipient_ids: Collection[int]) -> bool:
        """Whether enough is left of all these leases to wait for the reply to a final dot; renews them if need be."""
        if not self._suffice(recipient_ids):
            await self.renew(recipient_ids)
        return self._suffice(recipient_ids)

    async def renew(self, recipient_ids: Collection[int] | None = None) -> None:
        """Moves the ends of these leases, or of all; what turns out to be lost is forgotten."""
        ids = sorted(self._ends if recipient_ids is None else recipient_ids)
        for start in range(0, len(ids), SLICE):
            some, asked_at = ids[start : start + SLICE], _now()
            try:
                held = set(await self._store.run(RenewClaims(self.token, some, self._seconds)))
            except (StoreUnavailable, StoreBug) as error:
                logger.warning("leases can't be renewed now: %s", error)
                return
            for recipient_id in some:
                if recipient_id not in held:
                    self._ends.pop(recipient_id, None)
                elif recipient_id in self._ends:
                    self._ends[recipient_id] = asked_at + self._seconds

    async def give_back(self, recipient_ids: Iterable[int], *, untried: bool = False) -> None:
        """Makes them due again at once; `untried` says that nothing was done about them."""
        ids = [recipient_id for recipient_id in recipient_ids if recipient_id in self._ends]
        self.forget(ids)
        for start in range(0, len(ids), SLICE):
            try:
                async with asyncio.timeout(GIVE_BACK_SECONDS):
                    await self._store.run(RenewClaims(self.token, ids[start : start + SLICE], 0, untried))
            except (StoreUnavailable, StoreBug, TimeoutError) as error:
                logger.warning("leases can't be given back: %s", error)

    async def give_back_strays(self, recipient_ids: Iterable[int]) -> None:
        """Of the recipients that the database has under our token, makes those due that we do not know of: the store
        leased them and died or was late before it could say so. Raises StoreUnavailable."""
        strays = [recipient_id for recipient_id in recipient_ids if recipient_id not in self._ends]
        for start in range(0, len(strays), SLICE):
            await self._store.run(RenewClaims(self.token, strays[start : start + SLICE], 0, untried=True))
        if strays:
            logger.info("%d recipients whose lease was never told are due again", len(strays))
        self.has_strays = False

    def forget(self, recipient_ids: Iterable[int]) -> None:
        for recipient_id in recipient_ids:
            self._ends.pop(recipient_id, None)

    async def keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_SECONDS)
            await self.renew()

    def _suffice(self, recipient_ids: Collection[int]) -> bool:
        needed = _now() + FINISH_SECONDS
        return all(self._ends.get(recipient_id, 0.0) > needed for recipient_id in recipient_ids)


def _now() -> float:
    return time.clock_gettime(_CLOCK)
