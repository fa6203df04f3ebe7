"""How one look connects, and what its connections mean.

Silence is never held against a host: without a way out, or behind a router that does not lead back, every host is
silent, to itself too. A refusal, a wrong answer and a bad certificate are told.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailsuite.mail.client_network import Network
from mailsuite.records.seen import OK, Judgement, Verdict
from mailsuite.resolver.answers import Resolver
from mailsuite.transport_security.connecting import (
    Cause,
    ConnectError,
    Streams,
    bad_certificate,
    connect,
    verified_context,
)

CONNECT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Met:
    """What was met, in a few words that stay the same while nothing changes, and what is said of it."""

    judgement: Judgement
    text: str


@dataclass(slots=True)
class Memory:
    """What one run has met at this host's own ports, so that a hundred domains don't ask a hundred times; `silent` are
    the ports without any answer, which nobody waits for twice."""

    met: dict[int, Met] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Reach:
    """`allowed` are the private networks that may be asked; `ports` lead elsewhere than to the ports that everybody
    knows, in tests."""

    resolver: Resolver
    allowed: Sequence[Network] = ()
    context: ssl.SSLContext | None = None
    ports: Mapping[int, int] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    async def connect(self, host: str, port: int, *, tls: bool) -> Streams:
        """Raises ConnectError."""
        if port in self.memory.silent:
            raise ConnectError(Cause.UNREACHABLE, f"no connection to {host}: there was no answer just before")
        context = (self.context or verified_context()) if tls else None
        actual = self.ports.get(port, port)
        try:
            return await connect(self.resolver, host, actual, self.allowed, context=context, seconds=CONNECT_SECONDS)
        except ConnectError as error:
            if error.cause is Cause.UNREACHABLE:
                self.memory.silent.add(port)
            raise

    async def start_tls(self, streams: Streams, host: str, context: ssl.SSLContext | None = None) -> None:
        """Raises ConnectError for a certificate, OSError for what is no TLS."""
        chosen = context or self.context or verified_context()
        try:
            await streams[1].start_tls(chosen, server_hostname=host)
        except ssl.SSLCertVerificationError as problem:
            raise bad_certificate(host, problem) from None


def good(text: str) -> Met:
    """It works; `text` says what was met."""
    return Met(OK, text)


def unknown(text: str) -> Met:
    """Nobody can say, and why."""
    return Met(Judgement(Verdict.UNKNOWN), text)


def fails(sentence: str, text: str) -> Met:
    """It does not work, and why."""
    return Met(Judgement(Verdict.FAILS, sentence), text)


def warns(sentence: str, text: str) -> Met:
    """It works, with a fault."""
    return Met(Judgement(Verdict.WARN, sentence), text)


def no_connection(error: ConnectError, host: str, port: int, listener: str) -> Met:
    """What an error means for a service of this host's; `listener` is the setting's that opens the port."""
    match error.cause:
        case Cause.REFUSED:
            sentence = (
                f"Nothing answers at {host} port {port}: open it in the firewall, or set MAILSUITE_LISTEN_{listener}."
            )
            return fails(sentence, f"port {port} is closed")
        case Cause.NO_TLS:
            return fails(f"What answers at {host} port {port} speaks no TLS: is it this host?", "no TLS")
        case Cause.CERTIFICATE:
            return fails(certificate_sentence(host, error.detail), f"bad certificate: {error.detail}")
    return unknown(str(error))


def certificate_sentence(host: str, detail: str) -> str:
    """What is wrong with the certificate that `host` shows, and what to do; `detail` as OpenSSL has it."""
    text = detail.lower()
    if "mismatch" in text:
        return f"The certificate of {host} does not name it: have it issued with that name too (certbot: -d {host})."
    if "expired" in text:
        return f"The certificate that {host} shows has run out: renew it."
    if "local issuer" in text:
        return (
            f"{host} shows its certificate without those above it: MAILSUITE_TLS_CERT must hold the whole chain "
            "(certbot: fullchain.pem)."
        )
    if "self-signed" in text or "self signed" in text:
        return (
            f"Nobody trusts the certificate that {host} shows, since it signed itself: get one as "
            "deploy/guide/certificates.md tells."
        )
    return f"The certificate that {host} shows is not good ({detail}): get another."
