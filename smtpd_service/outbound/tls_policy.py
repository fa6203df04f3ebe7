"""How TLS is used with a host. `TlsPolicy` is the seam for what a domain publishes about it; routes have their own."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from smtpd_service.outbound.routing import Security
from smtpd_service.outbound.transaction import Outcome, StartTls

# Certificates as the host sent them, DER, its own first; "" or why they are not good enough.
CertificateCheck = Callable[[Sequence[bytes]], str]


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """`falls_back` allows a second connection in clear when the handshake fails; never where TLS is demanded. `check`
    has the last word on a handshake that the context let pass. With a `refusal` the host is not dialled at all."""

    starttls: StartTls
    context: ssl.SSLContext
    implicit: bool = False
    falls_back: bool = False
    check: CertificateCheck | None = None
    refusal: Outcome | None = None


class TlsPolicy(Protocol):
    async def for_host(self, domain: str, host: str) -> TlsDemand:
        """What holds for mail to `domain` at one of its mail hosts."""
        ...


class Opportunistic:
    """TLS with whoever offers it, whatever the certificate: better than nothing against listeners (RFC 7435)."""

    async def for_host(self, domain: str, host: str) -> TlsDemand:
        return demand_of(Security.OPPORTUNISTIC)


def demand_of(security: Security) -> TlsDemand:
    """What a route's scheme demands. Where TLS is required the certificate is checked as well."""
    match security:
        case Security.OPPORTUNISTIC:
            return TlsDemand(StartTls.OFFERED, unverified_context(), falls_back=True)
        case Security.STARTTLS:
            return TlsDemand(StartTls.REQUIRED, verified_context())
        case Security.IMPLICIT:
            return TlsDemand(StartTls.NEVER, verified_context(), implicit=True)


@lru_cache(maxsize=1)
def unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@lru_cache(maxsize=1)
def verified_context() -> ssl.SSLContext:
    """The system's authorities (or SSL_CERT_FILE's) and the host's name."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
