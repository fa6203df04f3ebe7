"""Fetching another domain's MTA-STS policy over HTTPS (RFC 8461 §3.3), where its DNS must not lead us astray.

The name is looked up by our own resolver, its addresses are checked, and the connection goes to a checked address: a
second look-up could give another one. TLS is verified for the policy's host; redirects are not followed.
"""

import asyncio
import ssl
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from functools import lru_cache

from mailsuite.mail.networks import Network, is_forbidden
from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import FETCH_SECONDS, MAX_POLICY_OCTETS, Policy, PolicyError
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Resolver, Status

HTTPS_PORT = 443
MAX_HEADER_OCTETS = 16 * 1024
MAX_ADDRESSES = 3
CONNECT_SECONDS = 10.0


class FetchError(Exception):
    """There is no policy to be had; `result` is its name in TLS reports, str() the reason for people."""

    def __init__(self, result: ResultType, text: str) -> None:
        super().__init__(text)
        self.result = result


async def fetch_policy(
    resolver: Resolver,
    domain: str,
    allowed: Sequence[Network],
    *,
    context: ssl.SSLContext | None = None,
    port: int = HTTPS_PORT,
    seconds: float = FETCH_SECONDS,
) -> Policy:
    """The policy that a domain serves now. `allowed` are the private networks that may be asked. Raises FetchError."""
    try:
        async with asyncio.timeout(seconds):
            octets = await _fetch(resolver, mtasts.policy_host(domain), allowed, context or verified_context(), port)
    except TimeoutError:
        raise _failed(f"{mtasts.policy_host(domain)} did not answer within {seconds:g} seconds") from None
    try:
        return mtasts.parse_policy(octets)
    except PolicyError as error:
        raise FetchError(ResultType.STS_POLICY_INVALID, f"the policy of {domain} can't be used: {error}") from None


@lru_cache(maxsize=1)
def verified_context() -> ssl.SSLContext:
    """The system's authorities; names only where certificates have them today (RFC 8461 §3.3: DNS-ID)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context


async def _fetch(
    resolver: Resolver, host: str, allowed: Sequence[Network], context: ssl.SSLContext, port: int
) -> bytes:
    error: OSError = OSError("no address")
    for address in await _addresses(resolver, host, allowed):
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    address, port, ssl=context, server_hostname=host, limit=MAX_HEADER_OCTETS
                )
        except ssl.SSLCertVerificationError as problem:
            why = f"the certificate of {host} is not good: {problem.verify_message}"
            raise FetchError(ResultType.STS_WEBPKI_INVALID, why) from None
        except OSError as problem:
            error = problem
            continue
        try:
            return await _ask(reader, writer, host)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as problem:
            raise _failed(f"{host} gave no proper answer ({type(problem).__name__})") from None
        finally:
            writer.transport.abort()
    why = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
    raise _failed(f"no connection to {host}: {why}")


async def _addresses(resolver: Resolver, host: str, allowed: Sequence[Network]) -> list[str]:
    answers = await asyncio.gather(resolver.query(host, "AAAA"), resolver.query(host, "A"))
    found = [str(address) for answer in answers for address in answer.rdata]
    good = [address for address in found if not is_forbidden(address, allowed)]
    if good:
        return good[:MAX_ADDRESSES]
    if found:
        raise _failed(f"{host} is at {found[0]}, where nothing is fetched from")
    if any(answer.status is Status.TEMPERROR for answer in answers):
        raise _failed(f"the DNS gave no address of {host}")
    raise _failed(f"{host} has no address")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> bytes:
    """One GET; the body of an answer that is as RFC 8461 §3.3 demands."""
    writer.write(
        f"GET {mtasts.PATH} HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain\r\nAccept-Encoding: identity\r\n"
        "User-Agent: Mailsuite\r\nConnection: close\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, _, fields = head.partition(b"\r\n")
    version, _, rest = status_line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("no HTTP answer")
    header = BytesHeaderParser().parsebytes(fields)
    try:
        mtasts.check_response(int(rest[:3]), header.get("Content-Type", ""))
    except PolicyError as error:
        raise _failed(f"{host} does not serve a policy: {error}") from None
    return await _body(reader, header)


async def _body(reader: asyncio.StreamReader, header: Message) -> bytes:
    if header.get("Transfer-Encoding", "").strip().lower() == "chunked":
        return await _chunks(reader)
    length = header.get("Content-Length", "").strip()
    if length:
        if not (length.isascii() and length.isdigit()):
            raise ValueError("no length")
        if len(length) > 10 or int(length) > MAX_POLICY_OCTETS:
            raise _too_large()
        return await reader.readexactly(int(length))
    octets = b""
    while chunk := await reader.read(MAX_POLICY_OCTETS):
        octets += chunk
        if len(octets) > MAX_POLICY_OCTETS:
            raise _too_large()
    return octets


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    octets = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0].strip(), 16)
        if size == 0:
            return octets
        if size < 0 or len(octets) + size > MAX_POLICY_OCTETS:
            raise _too_large()
        octets += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError("a chunk without end")


def _too_large() -> FetchError:
    return FetchError(ResultType.STS_POLICY_INVALID, f"the policy is larger than {MAX_POLICY_OCTETS // 1024} KB")


def _failed(text: str) -> FetchError:
    return FetchError(ResultType.STS_POLICY_FETCH_ERROR, text)
