"""By which of this host's addresses mail goes out, and by which family of addresses (IPv4, IPv6)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from mailsuite.configuration import Configuration
from mailsuite.writer.operation import StoreUnavailable

logger = logging.getLogger(__name__)

# How often it is looked whether reverse names have come or gone: the look at DNS itself is hourly.
LOOK_SECONDS = 300.0
VERSIONS = frozenset({4, 6})


@dataclass(frozen=True, slots=True)
class WayOut:
    """`versions` are the IP versions that mail goes out by; `sources` has the address to connect from, by version,
    where the system shall not choose. `unnamed` are versions whose address here is known to have no reverse name: large
    receivers refuse such a host for good (550 5.7.25 and the like), so they are for those alone who have nothing else.
    """

    versions: Collection[int] = VERSIONS
    sources: Mapping[int, str] = field(default_factory=dict)
    unnamed: Collection[int] = ()

    def usable(self, addresses: Sequence[str]) -> list[str]:
        """Those of the addresses that are tried, in their order."""
        allowed = [address for address in addresses if ip_address(address).version in self.versions]
        named = [address for address in allowed if ip_address(address).version not in self.unnamed]
        return named or allowed

    def source(self, address: str) -> str:
        """The address to connect to this one from, "" where the system chooses: always for this machine's own."""
        target = ip_address(address)
        return "" if target.is_loopback else self.sources.get(target.version, "")


def configured(configuration: Configuration) -> WayOut:
    """What the settings say."""
    return WayOut(configuration.send_versions, {one.version: str(one) for one in configuration.source_addresses})


class CurrentWayOut:
    """A way out whose unnamed versions follow what `look` finds in the database, without a question a message."""

    def __init__(self, way_out: WayOut, look: Callable[[], Awaitable[Collection[int]]]) -> None:
        self.now = way_out
        self._look = look

    async def run(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            # A database that is away says nothing about names.
            with suppress(StoreUnavailable):
                self._take(await self._look())
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await ended.wait()

    def _take(self, unnamed: Collection[int]) -> None:
        if set(unnamed) == set(self.now.unnamed):
            return
        self.now = replace(self.now, unnamed=unnamed)
        for version in sorted(unnamed):
            logger.warning(
                "this host's IPv%d address has no reverse name: mail goes out by it as a last resort", version
            )
