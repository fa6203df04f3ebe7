"""The resolver of every service: dnspython, with the cache, coalescing, limits and deadline that it lacks."""

import asyncio
import logging
import socket
from ipaddress import ip_address
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver

from mailsuite.resolver.answers import Answer, Mx, Rdata, Status, Tlsa
from mailsuite.resolver.breaker import Breaker
from mailsuite.resolver.cache import AnswerCache, Key
from mailsuite.resolver.nameserver import BoundedNameserver
from mailsuite.turns import Turns

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 5.0
TRY_SECONDS = 2.0
# RFC 9715: what passes unfragmented everywhere; larger answers come by TCP.
EDNS_OCTETS = 1232
MIN_TTL, MAX_TTL, MAX_NEGATIVE_TTL, TEMPERROR_TTL = 5, 86_400, 300, 5
IN_FLIGHT = 200


class DnsResolver:
    """Asks the DNS server at `server` (`host:port`, `[::1]:53`, `host`), or the system's when it is empty.

    Belongs to one event loop. Equal questions that wait at the same time are asked once. While no server answers
    anything, every answer that is not remembered is TEMPERROR, at once.
    """

    def __init__(
        self, server: str = "", *, deadline_seconds: float = DEADLINE_SECONDS, checking_disabled: bool = False
    ) -> None:
        addresses, port = _servers(server)
        self._dns = _make(addresses, port)
        if checking_disabled:
            # The answer even where its signature does not fit (RFC 4035 §3.2.2).
            self._dns.flags = dns.flags.RD | dns.flags.CD
        self._deadline_seconds = deadline_seconds
        self._cache = AnswerCache()
        self._asking: dict[Key, asyncio.Task[Answer]] = {}
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._turns = Turns()
        self._breaker = Breaker(self._probe)
        # Anybody on the way could set the bit: only a resolver on this machine is believed.
        self._is_trusted = all(ip_address(address).is_loopback for address in addresses)

    def remembered(self, name: str, rdtype: str) -> Answer | None:
        """Return the answer that is known, for which nobody has to be asked."""
        return self._cache.get((name.rstrip(".").lower(), rdtype.upper()), asyncio.get_running_loop().time())

    async def query(self, name: str, rdtype: str) -> Answer:
        """What the DNS says of the name, remembered or asked for within the deadline (Resolver); never raises."""
        key = (name.rstrip(".").lower(), rdtype.upper())
        if known := self.remembered(name, rdtype):
            return known
        task = self._asking.get(key)
        if task is None:
            if self._breaker.is_open:
                return Answer(Status.TEMPERROR)
            task = asyncio.create_task(self._ask(key))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # One asker who gives up must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, key: Key) -> Answer:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                async with self._in_flight:
                    # To make a query takes as long as to take a command.
                    await self._turns.take()
                    answer = await self._resolve(*key)
        except TimeoutError:
            self._breaker.note(False)
            answer = Answer(Status.TEMPERROR, (), TEMPERROR_TTL)
        self._cache.put(key, answer, asyncio.get_running_loop().time())
        return answer

    async def _resolve(self, name: str, rdtype: str) -> Answer:
        try:
            found = await self._dns.resolve(
                _as_name(name), rdtype, raise_on_no_answer=False, search=False, lifetime=self._deadline_seconds
            )
        except dns.resolver.NXDOMAIN as error:
            self._breaker.note(True)
            responses = list(error.responses().values())  # type: ignore[no-untyped-call]
            return self._negative(Status.NXDOMAIN, responses[0] if responses else None)
        except (dns.resolver.NoNameservers, dns.exception.Timeout, OSError) as error:
            self._breaker.note(_was_answered(error))
            return Answer(Status.TEMPERROR, (), TEMPERROR_TTL)
        except (dns.exception.DNSException, ValueError):
            # Labels too long or empty, bad IDNA: no such name can be registered.
            return Answer(Status.NXDOMAIN, (), MAX_NEGATIVE_TTL)
        except Exception:
            logger.exception("Looking up %s %s failed", name, rdtype)
            return Answer(Status.TEMPERROR, (), TEMPERROR_TTL)
        self._breaker.note(True)
        if found.rrset is None:
            return self._negative(Status.NODATA, found.response)
        ttl = min(max(found.rrset.ttl, MIN_TTL), MAX_TTL)
        return Answer(Status.OK, tuple(rdata_value(rdata) for rdata in found.rrset), ttl, self._vouched(found.response))

    async def _probe(self) -> bool:
        """Whether a server answers anything about the root."""
        try:
            async with asyncio.timeout(min(TRY_SECONDS, self._deadline_seconds)):
                await self._dns.resolve(".", "NS", raise_on_no_answer=False, search=False, lifetime=TRY_SECONDS)
        except (TimeoutError, dns.resolver.NoNameservers, dns.exception.Timeout, OSError) as error:
            return _was_answered(error)
        except Exception as error:
            logger.debug("the root gives an answer of a kind: %s", error)
        return True

    def _negative(self, status: Status, response: dns.message.Message | None) -> Answer:
        """The TTL of a negative answer is that of its SOA or the SOA's minimum, the lesser (RFC 2308 §5)."""
        if response is None:
            return Answer(status, (), MIN_TTL)
        ttls = [
            min(rrset.ttl, rrset[0].minimum)
            for rrset in response.authority
            if rrset.rdtype == dns.rdatatype.SOA and len(rrset)
        ]
        ttl = min(max(min(ttls, default=MIN_TTL), MIN_TTL), MAX_NEGATIVE_TTL)
        return Answer(status, (), ttl, self._vouched(response))

    def _vouched(self, response: dns.message.Message) -> bool:
        return self._is_trusted and bool(response.flags & dns.flags.AD)


def _servers(server: str) -> tuple[list[str], int]:
    """The addresses of the server, or of the system's, and the port."""
    if not server:
        system = dns.asyncresolver.Resolver()
        return [str(address) for address in system.nameservers], system.port
    host, port = split_server(server)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found)), port


def _make(addresses: list[str], port: int) -> dns.asyncresolver.Resolver:
    made = dns.asyncresolver.Resolver(configure=False)
    made.nameservers = [BoundedNameserver(address, port) for address in addresses]
    made.timeout = TRY_SECONDS
    made.flags = dns.flags.RD | dns.flags.AD
    made.use_edns(0, dns.flags.DO, EDNS_OCTETS)
    made.cache = None
    return made


def _as_name(text: str) -> dns.name.Name:
    """The name whose labels these are; a backslash is an octet like others, though zone files take it for an escape."""
    if not text or not text.isascii():
        return dns.name.from_text(text or ".")
    return dns.name.Name([*(label.encode() for label in text.split(".")), b""])


def _was_answered(error: Exception) -> bool:
    """Whether any server sent an answer, though one of no use: each error of dnspython's ends with the response."""
    errors = getattr(error, "kwargs", {}).get("errors", ())
    return any(one[-1] is not None for one in errors)


def split_server(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, `host`, `[::1]:53` or `::1`. Raises ValueError when the port is none."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    number = int(port or 53)
    if not host or not 0 < number < 65536:
        raise ValueError(f"{text!r} is no host:port")
    return host, number


def rdata_value(rdata: Any) -> Rdata:
    """Return a record of dnspython's as a plain value; names in lower case without their last dot, what has no class of
    its own as text in the master file's form (RFC 1035 §5.1)."""
    match rdata.rdtype:
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return str(rdata.address)
        case dns.rdatatype.MX:
            return Mx(rdata.preference, _name(rdata.exchange))
        case dns.rdatatype.TXT:
            return b"".join(rdata.strings)
        case dns.rdatatype.TLSA:
            return Tlsa(rdata.usage, rdata.selector, rdata.mtype, bytes(rdata.cert))
        case dns.rdatatype.PTR | dns.rdatatype.CNAME | dns.rdatatype.NS:
            return _name(rdata.target)
    return str(rdata.to_text())


def _name(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower().removesuffix(".")
