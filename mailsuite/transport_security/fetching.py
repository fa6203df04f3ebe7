"""Fetching a domain's MTA-STS policy over HTTPS, as senders do (RFC 8461 §3.3); redirects are not followed."""

import asyncio
import ssl
from collections.abc import Sequence

from mailsuite.mail.client_network import Network
from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import FETCH_SECONDS, MAX_POLICY_OCTETS, Policy, PolicyError
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.resolver.answers import Resolver
from mailsuite.server.http_client import HttpError, HttpExchange, TooLarge
from mailsuite.transport_security.connecting import Cause, ConnectError, Streams, connect, verified_context

HTTPS_PORT = 443


class FetchError(Exception):
    """There is no policy to be had; `result` is its name in TLS reports, str() the reason for people, `cause` why there
    was no connection, where that is it."""

    def __init__(self, result: ResultType, text: str, cause: Cause | None = None) -> None:
        super().__init__(text)
        self.result, self.cause = result, cause


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
    host = mtasts.policy_host(domain)
    try:
        async with asyncio.timeout(seconds):
            octets = await _fetch(resolver, host, allowed, context or verified_context(), port)
    except TimeoutError:
        raise _failed(f"{host} did not answer within {seconds:g} seconds", Cause.UNREACHABLE) from None
    try:
        return mtasts.parse_policy(octets)
    except PolicyError as error:
        raise FetchError(ResultType.STS_POLICY_INVALID, f"the policy of {domain} can't be used: {error}") from None


async def _fetch(
    resolver: Resolver, host: str, allowed: Sequence[Network], context: ssl.SSLContext, port: int
) -> bytes:
    try:
        streams = await connect(resolver, host, port, allowed, context=context)
    except ConnectError as error:
        bad = error.cause is Cause.CERTIFICATE
        result = ResultType.STS_WEBPKI_INVALID if bad else ResultType.STS_POLICY_FETCH_ERROR
        raise FetchError(result, str(error), error.cause) from None
    try:
        return await _ask(streams, host)
    except (OSError, HttpError) as problem:
        raise _failed(f"{host} gave no proper answer ({type(problem).__name__})") from None
    finally:
        streams[1].transport.abort()


async def _ask(streams: Streams, host: str) -> bytes:
    """One GET; the body of an answer that is as RFC 8461 §3.3 demands."""
    exchange = HttpExchange(*streams)
    head = await exchange.ask(host, mtasts.PATH, [("Accept", "text/plain")])
    try:
        mtasts.check_response(head.status, head.content_type)
        return await exchange.body(MAX_POLICY_OCTETS)
    except PolicyError as error:
        raise _failed(f"{host} does not serve a policy: {error}") from None
    except TooLarge:
        text = f"the policy is larger than {MAX_POLICY_OCTETS // 1024} KB"
        raise FetchError(ResultType.STS_POLICY_INVALID, text) from None


def _failed(text: str, cause: Cause | None = None) -> FetchError:
    return FetchError(ResultType.STS_POLICY_FETCH_ERROR, text, cause)
