"""Who may connect: caps in total and per address, and the set of open connections, to end them by."""

import asyncio
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

from mailsuite.abuse.gate import Banned
from smtpd_service.inbound.decisions import (
    BANNED,
    BANNED_FOR_NOW,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_FROM_ADDRESS,
    Refusal,
)


class Connection(Protocol):
    def end(self) -> None: ...


class Admission:
    """The connections of one kind in one process, whose share of the host's limits these are. Loopback is spared the
    cap per address: probes, local programs and benches come from there. `banned` tells who is not let in at all."""

    def __init__(
        self, *, total: int = 1000, per_address: int = 50, banned: Callable[[str], Banned | None] = lambda address: None
    ) -> None:
        self._total, self._per_address, self._banned = total, per_address, banned
        self._connections: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._last_gone: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def admit(self, connection: Connection, address: str) -> Refusal | None:
        """Count the connection in, or return why not."""
        if banned := self._banned(address):
            return BANNED_FOR_NOW if banned.ends_at and banned.reason != "by-hand" else BANNED
        if len(self._connections) >= self._total:
            return TOO_MANY_CONNECTIONS
        key = _counted_by(address)
        if key and self._by_address[key] >= self._per_address:
            return TOO_MANY_FROM_ADDRESS
        self._connections.add(connection)
        if key:
            self._by_address[key] += 1
        return None

    def leave(self, connection: Connection, address: str) -> None:
        """Count it out."""
        self._connections.discard(connection)
        if not self._connections and self._last_gone:
            self._last_gone.set()
        key = _counted_by(address)
        if key:
            self._by_address[key] -= 1
            if self._by_address[key] <= 0:
                del self._by_address[key]

    async def emptied(self) -> None:
        """Return when the last connection is gone."""
        self._last_gone = asyncio.Event()
        if self._connections:
            await self._last_gone.wait()

    def end_all(self) -> None:
        """Ask every connection to end."""
        for connection in tuple(self._connections):
            connection.end()


def _counted_by(address: str) -> str:
    """What an address counts as: itself, its /64 for IPv6, "" where it isn't counted."""
    if address.startswith("127."):
        return ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if parsed.is_loopback:
        return ""
    return address if parsed.version == 4 else parsed.exploded[:19]
