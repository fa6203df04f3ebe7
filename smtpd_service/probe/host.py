"""One mail host in a delivery test: the SMTP client driven step by step, each step told as a stage."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

from mailsuite.mail.client_network import Network
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.networks import is_named
from smtpd_service.outbound.connection import Connection, connect
from smtpd_service.outbound.smtp_client import SmtpClient, State
from smtpd_service.outbound.tls_policy import TlsDemand, verified_context
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
from smtpd_service.outbound.transport import Endpoint, handshake_outcome
from smtpd_service.probe.certificate_facts import describe_chain
from smtpd_service.probe.stage import TITLES, Stage, Tone, judge_reply

# RFC 5321 §4.5.3.2 asks for minutes; who watches a test does not wait so long. Tarpits greet after some 30 seconds.
STEP_SECONDS = 40.0
CONNECT_SECONDS = 15.0
# The size that the test's mail is said to have.
SIZE_OCTETS = 2048
_NAMES = {
    State.GREETING.value: "greeting",
    State.EHLO.value: "ehlo",
    State.HELO.value: "ehlo",
    State.STARTTLS.value: "starttls",
    State.AUTH.value: "auth",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "RSET": "quit",
}


class HostProbe:
    """Tests one endpoint. After `run` has ended, `conclusion` and `tone` tell what mail would meet there."""

    def __init__(
        self,
        endpoint: Endpoint,
        demand: TlsDemand,
        *,
        helo: str,
        reverse_path: str,
        recipient: str,
        login: Login | None,
        allowed: Sequence[Network] | None,
        ends_at: float,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.endpoint, self._demand, self._helo, self._login = endpoint, demand, helo, login
        is_ascii = recipient.isascii() and reverse_path.isascii()
        self._mail = Mail(Envelope(reverse_path, smtputf8=not is_ascii), [EnvelopeRecipient(recipient)], SIZE_OCTETS)
        self._allowed, self._ends_at, self._context = allowed, ends_at, context or verified_context()
        self.was_reached = False
        self.tone, self.conclusion = Tone.BAD, "no connection"
        self._told: set[str] = set()
        self._again: TlsDemand | None = None
        self._tls = ""

    async def run(self) -> AsyncGenerator[Stage, None]:
        """The stages. A handshake that fails where any certificate will do leads to another connection, as it would in
        a delivery: first without checking the certificate, then without TLS."""
        self._again = self._first_demand()
        while self._again:
            demand, self._again = self._again, None
            try:
                connection = await self._connect()
            except OSError as error:
                why = _why(error)
                self._conclude(Tone.WARNING, f"no connection: {why}")
                yield self._stage("connect", Tone.BAD, f"No connection: {why}. {_why_no_connection(error)}".rstrip())
                return
            try:
                async with aclosing(self._converse(connection, demand)) as stages:
                    async for stage in stages:
                        yield stage
            finally:
                connection.abort()

    def _first_demand(self) -> TlsDemand:
        """Where any certificate will do, the first handshake checks it nevertheless, to tell what others would say."""
        if self._demand.falls_back:
            return replace(self._demand, context=self._context)
        return self._demand

    async def _connect(self) -> Connection:
        async with asyncio.timeout(min(CONNECT_SECONDS, self._left())):
            return await connect(self.endpoint.address, self.endpoint.port, self.endpoint.source)

    async def _converse(self, connection: Connection, demand: TlsDemand) -> AsyncGenerator[Stage, None]:
        started = time.monotonic()
        if self._is_ourselves(connection):
            self._conclude(Tone.BAD, "it is this host itself")
            text = "This is the host itself, which does not host that domain: mail would go in circles."
            yield self._stage("connect", Tone.BAD, text)
            return
        self.was_reached = True
        if "connect" not in self._told:
            yield self._stage("connect", Tone.GOOD, f"The host answers at {self.endpoint}.")
        client = SmtpClient(
            helo=self._helo, starttls=demand.starttls, login=self._login, host=self.endpoint.host, tls=""
        )
        if demand.implicit:
            stage = await self._handshake(connection, client, demand, started)
            yield stage
            if stage.tone is Tone.BAD:
                return
            client.tls = self._tls
        async with aclosing(self._talk(connection, client, demand)) as stages:
            async for stage in stages:
                yield stage

    async def _talk(self, connection: Connection, client: SmtpClient, demand: TlsDemand) -> AsyncGenerator[Stage, None]:
        lines, started = len(client.dialog().splitlines()), time.monotonic()
        while True:
            awaited = client.awaited
            while (event := client.next_event()) is None and client.awaited == awaited:
                await self._step(connection, client)
            said = client.dialog().splitlines()
            end = len(said)
            # What we have said in answer belongs to the next stage.
            while end > lines and said[end - 1].startswith("C: "):
                end -= 1
            details, lines = tuple(said[lines:end]), end
            if stage := self._answered(awaited, client, event, details, started):
                yield stage
            started = time.monotonic()
            match event:
                case HandshakeNeeded():
                    stage = await self._handshake(connection, client, demand, started)
                    yield stage
                    if self._again or stage.tone is Tone.BAD:
                        return
                    lines, started = len(client.dialog().splitlines()) - 1, time.monotonic()
                case Ready():
                    if not client.tls and (stage := self._without_tls(client)):
                        yield stage
                    client.send(self._mail, probes=True)
                    lines = len(client.dialog().splitlines()) - 1
                case Sent((outcome, *_)):
                    self._conclude_by(outcome)
                    if "mail" not in self._told:
                        yield self._stage("mail", Tone.BAD, f"{outcome.text}.")
                    await self._quit(connection, client)
                    yield self._stage("quit", Tone.NOTE, "The test ends here: no message is sent.")
                    return
                case SessionFailed(outcome):
                    self._conclude_by(outcome)
                    return
                case BodyWanted():
                    raise AssertionError("a test never asks to send")

    async def _step(self, connection: Connection, client: SmtpClient) -> None:
        try:
            async with asyncio.timeout(min(STEP_SECONDS, client.timeout_seconds, self._left())):
                await connection.send(client.data_to_send())
                client.receive_data(await connection.receive())
        except TimeoutError:
            client.timed_out()

    def _answered(
        self, awaited: str, client: SmtpClient, event: object, details: tuple[str, ...], started: float
    ) -> Stage | None:
        """The stage that an answer makes; None for one that was told before, on an earlier connection."""
        name = _NAMES.get(awaited, "quit")
        if isinstance(event, SessionFailed):
            _, text = judge_reply(name, event.outcome)
            text = text if event.outcome.code else f"{event.outcome.text}."
            tone = Tone.BAD if event.outcome.fate is Fate.NEVER else Tone.WARNING
            return self._stage(name, tone, text, details, started)
        if name == "quit" or (name in self._told and name in ("greeting", "ehlo", "starttls")):
            return None
        if name in ("mail", "rcpt"):
            tone, text = judge_reply(name, client.last_outcome)
            return self._stage(name, tone, text, details, started)
        texts = {
            "greeting": "The host is ready for mail.",
            "ehlo": _extensions(client) if awaited == State.EHLO.value else "The host knows only the old HELO.",
            "starttls": "The host is ready for TLS." if isinstance(event, HandshakeNeeded) else "The host refuses TLS.",
            "auth": "The host knows us.",
        }
        tone = Tone.WARNING if name == "starttls" and not isinstance(event, HandshakeNeeded) else Tone.GOOD
        return self._stage(name, tone, texts[name], details, started)

    async def _handshake(self, connection: Connection, client: SmtpClient, demand: TlsDemand, started: float) -> Stage:
        """Does the handshake; one that fails sets what is tried next, if anything is."""
        try:
            async with asyncio.timeout(min(STEP_SECONDS, self._left())):
                self._tls = await connection.start_tls(demand.context, self.endpoint.host)
        except OSError as error:
            return self._handshake_failed(demand, error, started)
        chain = connection.certificates
        facts = (self._tls, *describe_chain(chain, datetime.now(UTC)))
        if demand.check and (why := demand.check(chain)):
            self._conclude(Tone.BAD, f"no TLS that can be trusted: {why}")
            return self._stage("tls", Tone.BAD, f"The certificate does not fit: {why}. No delivery.", facts, started)
        if not demand.implicit:
            client.tls_started(self._tls)
        return self._stage("tls", *self._praise(demand), facts, started)

    def _handshake_failed(self, demand: TlsDemand, error: OSError, started: float) -> Stage:
        outcome = handshake_outcome(self.endpoint, error, demand.advice)
        if not self._demand.falls_back or self._login:
            self._conclude(Tone.BAD, outcome.text)
            return self._stage("tls", Tone.BAD, f"{outcome.text}. TLS is demanded here: no delivery.", (), started)
        if isinstance(error, ssl.SSLCertVerificationError) and demand.context is not self._demand.context:
            self._again = self._demand
            text = f"Who checks certificates would not deliver: {error.verify_message}. Most senders don't check."
            return self._stage("tls", Tone.WARNING, text, (), started)
        self._again = replace(self._demand, starttls=StartTls.NEVER)
        text = f"{outcome.text}. No rule demands TLS, so mail would go out in clear by another connection."
        return self._stage("tls", Tone.WARNING, text, (), started)

    def _praise(self, demand: TlsDemand) -> tuple[Tone, str]:
        if demand.check:
            return Tone.GOOD, "TLS, and the certificate matches the TLSA records: nobody can listen or step in."
        if demand.context.verify_mode is ssl.CERT_REQUIRED:
            return Tone.GOOD, f"TLS, and the certificate is good for {self.endpoint.host}."
        if self._demand.falls_back:
            return Tone.NOTE, "TLS, but anybody between could show such a certificate too."
        return Tone.NOTE, "TLS, whatever the certificate."

    def _without_tls(self, client: SmtpClient) -> Stage | None:
        if self._told & {"starttls", "tls"}:
            return None
        text = "The host does not offer TLS: everybody between could read the mail."
        return self._stage("starttls", Tone.WARNING, text)

    async def _quit(self, connection: Connection, client: SmtpClient) -> None:
        client.quit()
        if client.state is State.QUIT:
            await self._step(connection, client)

    def _conclude_by(self, outcome: Outcome) -> None:
        tones = {Fate.DELIVERED: Tone.GOOD if self._tls else Tone.NOTE, Fate.NEVER: Tone.BAD}
        how = f"under {self._tls.partition(' ')[0]}" if self._tls else "in clear"
        text = f"would take it, {how}" if outcome.fate is Fate.DELIVERED else outcome.text
        self._conclude(tones.get(outcome.fate, Tone.WARNING), text)

    def _conclude(self, tone: Tone, text: str) -> None:
        self.tone, self.conclusion = tone, text

    def _is_ourselves(self, connection: Connection) -> bool:
        ours, theirs = connection.addresses
        if self._allowed is None or not ours:
            return False
        return ip_address(ours) == ip_address(theirs) and not is_named(theirs, self._allowed)

    def _left(self) -> float:
        return max(self._ends_at - asyncio.get_running_loop().time(), 0.1)

    def _stage(
        self, name: str, tone: Tone, text: str, details: tuple[str, ...] = (), started: float | None = None
    ) -> Stage:
        self._told.add(name)
        milliseconds = round((time.monotonic() - started) * 1000) if started else 0
        return Stage(name, TITLES[name], tone, text, str(self.endpoint), details, milliseconds)


def _extensions(client: SmtpClient) -> str:
    known = ("STARTTLS", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "DSN", "CHUNKING", "REQUIRETLS")
    offered = [name for name in known if name in client.extensions]
    return f"The host offers {', '.join(offered)}." if offered else "The host offers nothing beyond plain SMTP."


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # asyncio puts a text of its own, with the address, where the system's stood.
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _why_no_connection(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "The host is down or a firewall drops the packets; many providers block port 25 outward until asked."
    if isinstance(error, ConnectionRefusedError):
        return "Nothing listens there."
    return ""
