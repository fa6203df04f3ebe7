"""Connections to hosts that somebody's DNS names, where it must not lead us astray.

The name is looked up by our own resolver, its addresses are checked, and the connection goes to a checked address: a
second look-up could give another one. TLS is verified for the name.
"""

import asyncio
import ssl
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

from mailsuite.mail.client_network import Network
from mailsuite.mail.networks import is_forbidden
from mailsuite.resolver.answers import Resolver, Status

MAX_ADDRESSES = 3
CONNECT_SECONDS = 10.0
# The longest line, or header of an answer, that is read.
MAX_LINE_OCTETS = 16 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cause(Enum):
    """Why there is no connection. What is `UNREACHABLE` may well be there for others: a host without a way out, or
    behind a router that does not lead back, sees just that."""

    DNS = "the DNS did not answer"
    NO_ADDRESS = "there is no address"
    FORBIDDEN = "the address is none to connect to"
    UNREACHABLE = "no answer"
    REFUSED = "nothing listens there"
    NO_TLS = "what listens there speaks no TLS"
    CERTIFICATE = "the certificate is not good"


class ConnectError(Exception):
    """There is no connection; str() is the reason for people, `detail` what OpenSSL says of a certificate."""

    def __init__(self, cause: Cause, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.cause, self.detail = cause, detail


@lru_cache(maxsize=1)
def verified_context() -> ssl.SSLContext:
    """The system's authorities; names only where certificates have them today (RFC 8461 §3.3: DNS-ID)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context


async def connect(
    resolver: Resolver,
    host: str,
    port: int,
    allowed: Sequence[Network],
    *,
    context: ssl.SSLContext | None = None,
    seconds: float = CONNECT_SECONDS,
) -> Streams:
    """A connection to the first of the host's addresses that takes one; with a `context` under TLS at once.
    `allowed` are the private networks that may be asked; `seconds` are for each address. Raises ConnectError."""
    error = ConnectError(Cause.NO_ADDRESS, f"{host} has no address")
    for address in await _addresses(resolver, host, allowed):
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.open_connection(
                    address, port, ssl=context, server_hostname=host if context else None, limit=MAX_LINE_OCTETS
                )
        except ssl.SSLCertVerificationError as problem:
            raise bad_certificate(host, problem) from None
        except OSError as problem:
            # A refusal tells more than silence, such as that of the IPv6 that this host has not.
            if error.cause is not Cause.REFUSED:
                error = _no_connection(host, problem)
    raise error


def bad_certificate(host: str, problem: ssl.SSLCertVerificationError) -> ConnectError:
    """What comes of a certificate that does not hold for the host."""
    detail = problem.verify_message
    return ConnectError(Cause.CERTIFICATE, f"the certificate of {host} is not good: {detail}", detail)


async def _addresses(resolver: Resolver, host: str, allowed: Sequence[Network]) -> list[str]:
    answers = await asyncio.gather(resolver.query(host, "AAAA"), resolver.query(host, "A"))
    found = [str(address) for answer in answers for address in answer.rdata]
    good = [address for address in found if not is_forbidden(address, allowed)]
    if good:
        return good[:MAX_ADDRESSES]
    if found:
        raise ConnectError(Cause.FORBIDDEN, f"{host} is at {found[0]}, where nothing is fetched from")
    if any(answer.status is Status.TEMPERROR for answer in answers):
        raise ConnectError(Cause.DNS, f"the DNS gave no address of {host}")
    raise ConnectError(Cause.NO_ADDRESS, f"{host} has no address")


def _no_connection(host: str, error: OSError) -> ConnectError:
    cause, why = Cause.UNREACHABLE, error.strerror or str(error)
    match error:
        case TimeoutError():
            why = "no answer in time"
        case ConnectionRefusedError():
            cause = Cause.REFUSED
        case ssl.SSLError():
            cause = Cause.NO_TLS
    return ConnectError(cause, f"no connection to {host}: {why}")
