"""A DNS server as dnspython asks it, but for answers by TCP, which are looked at before they are read.

dnspython compares each record of a set with all others. Whoever owns a zone can have an answer of 64 KB hold thousands,
which would take a second of the event loop. By UDP there is no room for so many.
"""

import asyncio
from typing import Any

import dns.exception
import dns.message
import dns.nameserver
import dns.query

MAX_RECORDS = 500
_HEADER_OCTETS = 12


class TooManyRecords(dns.exception.FormError):
    """The answer has more than MAX_RECORDS records."""


class BoundedNameserver(dns.nameserver.Do53Nameserver):
    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        backend: Any,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """The server's answer, by TCP when it is to be of any size. Raises what a dnspython resolver knows."""
        if not max_size:
            return await super().async_query(
                request, timeout, source, source_port, max_size, backend, one_rr_per_rrset, ignore_trailing
            )
        try:
            async with asyncio.timeout(timeout):
                wire = await self._exchange(request.to_wire())
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise dns.exception.Timeout(timeout=timeout) from error  # type: ignore[no-untyped-call]
        if _records(wire) > MAX_RECORDS:
            raise TooManyRecords
        response = dns.message.from_wire(wire)
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response

    async def _exchange(self, question: bytes) -> bytes:
        """Ask over a connection of its own (RFC 7766 §8: a length in front of each message)."""
        reader, writer = await asyncio.open_connection(self.address, self.port)
        try:
            writer.write(len(question).to_bytes(2) + question)
            length = int.from_bytes(await reader.readexactly(2))
            return await reader.readexactly(length)
        finally:
            writer.close()


def _records(wire: bytes) -> int:
    """How many records an answer says it has (RFC 1035 §4.1.1)."""
    return sum(int.from_bytes(wire[at : at + 2]) for at in range(6, _HEADER_OCTETS, 2))
