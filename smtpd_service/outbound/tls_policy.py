"""How TLS is used with a host. `TlsPolicy` is the seam for what a domain publishes about it; routes have their own."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from smtpd_service.outbound.routing import RouteFacts, Security
from smtpd_service.outbound.transaction import Outcome, StartTls

# Certificates as the host sent them, DER, its own first; "" or why they are not good enough.
CertificateCheck = Callable[[Sequence[bytes]], str]

PASSWORD_ADVICE = (
    "The route has a password, which is sent only to who proves to be the host: name the host in the route as its "
    "certificate does, or, if its authority is not one that this system knows, name that in SSL_CERT_FILE"
)

ROUTE_RULE = "the route demands TLS with a certificate that is good for its host"
GOOD_CERTIFICATE = "certificate verified (route)"


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """`falls_back` allows a second connection in clear when the handshake fails; never where TLS is demanded. `check`
    has the last word on a handshake that the context let pass. With a `refusal` the host is not dialled at all.
    `advice` tells an administrator what to do when the handshake fails. `rule` is a sentence for the story: what is
    demanded, and by whom; `proof` tells beside version and cipher what the certificate was held against."""

    starttls: StartTls
    context: ssl.SSLContext
    implicit: bool = False
    falls_back: bool = False
    check: CertificateCheck | None = None
    refusal: Outcome | None = None
    advice: str = ""
    rule: str = "no policy is enforced: TLS when offered, with any certificate"
    proof: str = "any certificate"


class TlsPolicy(Protocol):
    async def for_host(self, domain: str, host: str) -> TlsDemand:
        """What holds for mail to `domain` at one of its mail hosts."""
        ...


def demand_of_route(route: RouteFacts) -> TlsDemand:
    """What a route demands: with a password never less than TLS under a certificate that fits the host's name, or
    whoever stands between would be given it (RFC 4954 §4, RFC 8314 §4.3)."""
    if not route.username:
        return demand_of(route.security)
    required = Security.STARTTLS if route.security is Security.OPPORTUNISTIC else route.security
    rule = "the route has a password: TLS with a certificate that is good for its host"
    return replace(demand_of(required), advice=PASSWORD_ADVICE, rule=rule)


def demand_of(security: Security) -> TlsDemand:
    """What a route's scheme demands. Where TLS is required the certificate is checked as well."""
    match security:
        case Security.OPPORTUNISTIC:
            return TlsDemand(StartTls.OFFERED, unverified_context(), falls_back=True)
        case Security.STARTTLS:
            return TlsDemand(StartTls.REQUIRED, verified_context(), rule=ROUTE_RULE, proof=GOOD_CERTIFICATE)
        case Security.IMPLICIT:
            return TlsDemand(StartTls.NEVER, verified_context(), implicit=True, rule=ROUTE_RULE, proof=GOOD_CERTIFICATE)


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
