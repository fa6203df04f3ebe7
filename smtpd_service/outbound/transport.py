"""A session with one mail host: the client's events turned into waiting, sending, handshakes. It knows no rule."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from mailsuite.mail.client_network import Network
from mailsuite.mail.networks import is_named
from smtpd_service.outbound.connection import Connection, connect
from smtpd_service.outbound.smtp_client import SmtpClient, State
from smtpd_service.outbound.tls_policy import TlsDemand
from smtpd_service.outbound.transaction import (
    BodyWanted,
    Fate,
    HandshakeNeeded,
    Login,
    Mail,
    Outcome,
    Ready,
    Sent,
    SessionFailed,
    StartTls,
)

logger = logging.getLogger(__name__)

# A host that takes its time for each reply, or for each piece of the message, would else keep a session for hours.
# Together: for the opening of a session, and for the replies to an envelope.
REPLIES_SECONDS = 1200.0
# For a message: so long, and what it takes at this rate.
BODY_SECONDS, SLOWEST_OCTETS_A_SECOND = 600.0, 2000

Body = Callable[[], AsyncIterator[bytes]]
MayFinish = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    address: str
    port: int
    # Of this host, to connect from; the system's choice without it.
    source: str = ""

    def __str__(self) -> str:
        return f"{self.host} [{self.address}]:{self.port}"


class NoSession(Exception):
    """There is no session with this endpoint now; the outcome is that of everybody who waited for one."""

    def __init__(self, outcome: Outcome, dialog: str) -> None:
        super().__init__(outcome.text)
        self.outcome, self.dialog = outcome, dialog


class Session:
    """An open session, made by `open_session`."""

    def __init__(self, endpoint: Endpoint, connection: Connection, client: SmtpClient, proof: str = "") -> None:
        self.endpoint, self.messages, self._proof = endpoint, 0, proof
        self._connection, self._client = connection, client

    @property
    def is_ready(self) -> bool:
        """Whether another transaction can begin."""
        return self._client.is_ready and not self._connection.has_news

    @property
    def tls(self) -> str:
        """Version and cipher, and what the certificate was held against; "" in clear."""
        return f"{self._client.tls}, {self._proof}" if self._client.tls else ""

    @property
    def pipelines(self) -> bool:
        return self._client.pipelines

    @property
    def offers_dsn(self) -> bool:
        return "DSN" in self._client.extensions

    def takes_as_it_is(self, mail: Mail) -> bool:
        return self._client.takes_as_it_is(mail)

    def dialog(self, recipient: int | None = None) -> str:
        return self._client.dialog(recipient)

    async def start(self, demand: TlsDemand) -> None:
        """Brings the session to where it can send. Raises NoSession; HandshakeFailed when TLS was the trouble."""
        match await self._until_event():
            case HandshakeNeeded():
                await self._handshake(demand)
                await self.start(demand)
            case SessionFailed(outcome) if self._client.tls and outcome.reason == "connection-lost":
                # With TLS 1.3 a host refuses our side of the handshake after we believe it to be done (RFC 8446 §2).
                raise HandshakeFailed(outcome, self.dialog())
            case SessionFailed(outcome):
                raise NoSession(outcome, self.dialog())
            case Ready():
                return
            case other:
                raise AssertionError(other)

    async def transact(self, mail: Mail, body: Body, may_finish: MayFinish) -> Sequence[Outcome]:
        """Sends one message; an outcome for each recipient, whatever happens. `may_finish` is asked before the final
        dot: without its consent the connection is dropped, and nobody has got the message."""
        self.messages += 1
        if self._connection.has_news:
            self._client.receive_data(self._connection.received_already())
        if not self._client.is_ready:
            outcome = Outcome(Fate.LATER, "4.5.0", "The host said what was not asked for, or closed", "out-of-step")
            return [outcome] * len(mail.recipients)
        self._client.send(mail)
        while True:
            match await self._until_event():
                case BodyWanted():
                    await self._send_body(body, may_finish)
                case Sent(outcomes):
                    return outcomes
                case other:
                    raise AssertionError(other)

    async def close(self) -> None:
        """Says QUIT where that is possible, and does not wait for long."""
        self._client.quit()
        if self._client.state is State.QUIT:
            try:
                async with asyncio.timeout(self._client.timeout_seconds):
                    await self._connection.send(self._client.data_to_send())
                    await self._connection.receive()
            except TimeoutError:
                logger.debug("%s does not answer QUIT", self.endpoint)
        await self._connection.close()

    def abort(self) -> None:
        self._connection.abort()

    async def _until_event(self) -> HandshakeNeeded | Ready | BodyWanted | Sent | SessionFailed:
        loop = asyncio.get_running_loop()
        known, deadline, ends_at = (-1, 0.0), 0.0, loop.time() + REPLIES_SECONDS
        while (event := self._client.next_event()) is None:
            now = self._client.answers, self._client.timeout_seconds
            if known != now:
                # Time is for a whole reply: octets now and then must not outlast a lease.
                known, deadline = now, min(loop.time() + self._client.timeout_seconds, ends_at)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._connection.send(self._client.data_to_send())
                    self._client.receive_data(await self._connection.receive())
            except TimeoutError:
                self._client.timed_out()
        return event

    async def _handshake(self, demand: TlsDemand) -> None:
        try:
            description = await self._connection.start_tls(demand.context, self.endpoint.host)
        except OSError as error:
            raise HandshakeFailed(handshake_outcome(self.endpoint, error, demand.advice), self.dialog()) from None
        _check_certificates(self.endpoint, self._connection, demand, self._client)
        self._client.tls_started(description)

    async def _send_body(self, body: Body, may_finish: MayFinish) -> None:
        ends_at = asyncio.get_running_loop().time() + BODY_SECONDS + self._client.size_octets / SLOWEST_OCTETS_A_SECOND
        async for chunk in body():
            self._client.send_body(chunk)
            if not await self._send_or_lose(ends_at):
                return
        if await may_finish():
            # What is here by now was said before the final dot, so it can't be the answer.
            if await self._send_or_lose(ends_at):
                self._client.end_body()
        else:
            text = "The message was not finished: too little was left of its lease to wait for the reply"
            self._client.give_up("4.3.0", "lease-too-short", text)

    async def _send_or_lose(self, ends_at: float) -> bool:
        """Whether the message may go on: the host may refuse amid it."""
        try:
            now = asyncio.get_running_loop().time()
            async with asyncio.timeout_at(min(now + self._client.timeout_seconds, ends_at)):
                await self._connection.send(self._client.data_to_send())
        except TimeoutError:
            self._client.lost("took nothing more")
        if self._connection.has_news:
            self._client.receive_data(self._connection.received_already())
        return self._client.state is State.BODY


class HandshakeFailed(NoSession):
    """TLS could not be started."""


async def open_session(
    endpoint: Endpoint,
    demand: TlsDemand,
    helo: str,
    login: Login | None,
    allowed: Sequence[Network] | None,
    *,
    pipelines: bool = True,
) -> Session:
    """Connects and greets. Where the demand allows it, a failed handshake leads to a second connection in clear.

    `allowed` are the private networks that may be dialled, None for any (a Route's host); `pipelines` False is for a
    host that gets out of step otherwise. Raises NoSession.
    """
    if demand.refusal:
        raise NoSession(demand.refusal, f"*: {demand.refusal.text}")
    try:
        return await _open(endpoint, demand, helo, login, allowed, demand.starttls, "", pipelines=pipelines)
    except NoSession as failure:
        if not isinstance(failure, HandshakeFailed) or not demand.falls_back or login:
            outcome = _told_why(failure.outcome, demand)
            told = f"{failure.dialog}\n*: {outcome.text}" if isinstance(failure, HandshakeFailed) else failure.dialog
            raise NoSession(outcome, told) from None
        note = f"{failure.dialog}\n*: {failure.outcome.text}; a new connection without TLS"
    try:
        return await _open(endpoint, demand, helo, login, allowed, StartTls.NEVER, note, pipelines=pipelines)
    except NoSession as failure:
        raise NoSession(failure.outcome, f"{note}\n{failure.dialog}") from None


async def _open(
    endpoint: Endpoint,
    demand: TlsDemand,
    helo: str,
    login: Login | None,
    allowed: Sequence[Network] | None,
    starttls: StartTls,
    note: str,
    *,
    pipelines: bool,
) -> Session:
    try:
        connection = await connect(endpoint.address, endpoint.port, endpoint.source)
    except OSError as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        text = f"No connection to {endpoint}: {why}"
        raise NoSession(Outcome(Fate.LATER, "4.4.1", text, "no-connection"), f"*: {text}") from None
    if allowed is not None and _is_ourselves(connection, allowed):
        await connection.close()
        text = f"{endpoint} is this host itself, which does not host that domain"
        raise NoSession(Outcome(Fate.NEVER, "5.4.6", text, "mail-loop"), f"*: {text}")
    client = SmtpClient(helo=helo, starttls=starttls, login=login, host=endpoint.host, pipelines=pipelines)
    session = Session(endpoint, connection, client, demand.proof)
    for line in note.splitlines():
        client.note(line)
    if not note:
        client.note(f"TLS policy: {demand.rule}")
    client.note(f"connected to {endpoint}")
    try:
        if demand.implicit:
            await _implicit_handshake(session, connection, client, demand)
        await session.start(demand)
    except NoSession:
        await connection.close()
        raise
    except BaseException:
        connection.abort()
        raise
    return session


async def _implicit_handshake(session: Session, connection: Connection, client: SmtpClient, demand: TlsDemand) -> None:
    try:
        client.tls = await connection.start_tls(demand.context, session.endpoint.host)
    except OSError as error:
        raise HandshakeFailed(handshake_outcome(session.endpoint, error, demand.advice), client.dialog()) from None
    _check_certificates(session.endpoint, connection, demand, client)
    client.note(f"TLS: {client.tls}")


def _told_why(outcome: Outcome, demand: TlsDemand) -> Outcome:
    """The outcome, with who demands the TLS that is not to be had."""
    if not outcome.reason.startswith("tls-") or demand.falls_back or demand.advice:
        return outcome
    return replace(outcome, text=f"{outcome.text}: {demand.rule}")


def _check_certificates(endpoint: Endpoint, connection: Connection, demand: TlsDemand, client: SmtpClient) -> None:
    if demand.check and (why := demand.check(connection.certificates)):
        text = f"No TLS with {endpoint} that can be trusted: {why}"
        raise HandshakeFailed(Outcome(Fate.LATER, "4.7.5", text, "tls-failed"), client.dialog())


def handshake_outcome(endpoint: Endpoint, error: OSError, advice: str = "") -> Outcome:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
    elif isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).replace("_", " ").lower()
    else:
        why = str(error) or "the connection broke"
    text = f"No TLS with {endpoint}: {why}{f'. {advice}' if advice else ''}"
    return Outcome(Fate.LATER, "4.7.5", text, "tls-failed")


def _is_ourselves(connection: Connection, allowed: Sequence[Network]) -> bool:
    """A connection to an address of our own begins there too."""
    ours, theirs = connection.addresses
    return bool(ours) and ip_address(ours) == ip_address(theirs) and not is_named(theirs, allowed)
