"""TLS as a domain's own records demand it: DANE first, then MTA-STS, then whatever the host offers (RFC 7672, 8461 §2).

Where a policy is enforced nothing ever goes out in clear, and a host that does not fit it is not dialled. TLSA records
of which none is usable demand TLS, but not with whom: there an enforced MTA-STS policy has the say about certificates.
"""

import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mailsuite.mailauth import dane
from mailsuite.mailauth.dane import Dane, State
from mailsuite.mailauth.mtasts import Mode
from mailsuite.resolver.answers import Resolver
from mailsuite.transport_security.connecting import verified_context
from mailsuite.transport_security.policies import Sts, StsSource
from smtpd_service.outbound.routing import Security, is_address
from smtpd_service.outbound.tls_policy import (
    CertificateCheck,
    TlsDemand,
    demand_of,
    unverified_context,
)
from smtpd_service.outbound.transaction import Fate, Outcome, StartTls

Validates = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What holds at one host, and by what: `rule` is dane, sts or opportunistic. `dane` is None where it is off."""

    rule: str
    demand: TlsDemand
    dane: Dane | None
    sts: Sts | None


class PublishedPolicy:
    """A TlsPolicy. `validates` says whether what the resolver calls secure is to be believed, asked only where there is
    DANE to go by; None turns DANE off. `context` checks certificates for MTA-STS."""

    def __init__(
        self,
        resolver: Resolver,
        sts: StsSource,
        *,
        validates: Validates | None,
        port: int = 25,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resolver, self._sts, self._validates, self._port = resolver, sts, validates, port
        self._context, self._clock = context, clock

    async def for_host(self, domain: str, host: str) -> TlsDemand:
        return (await self.judge(domain, host)).demand

    async def judge(self, domain: str, host: str) -> Judgement:
        """What holds, with the findings that it follows from."""
        if is_address(host):
            return Judgement("opportunistic", demand_of(Security.OPPORTUNISTIC), None, None)
        found = await self._dane(domain, host)
        if found and found.state in (State.FAILED, State.USABLE):
            return Judgement("dane", self._by_dane(found, host), found, None)
        sts = await self._sts.of(domain)
        if sts.policy and sts.policy.mode is Mode.ENFORCE:
            return Judgement("sts", self._by_sts(sts, domain, host), found, sts)
        if found and found.state is State.UNUSABLE:
            return Judgement("dane", self._by_dane(found, host), found, sts)
        return Judgement("opportunistic", demand_of(Security.OPPORTUNISTIC), found, sts)

    async def _dane(self, domain: str, host: str) -> Dane | None:
        """What DANE says, None where it is off. Where the MX records are not signed that costs no question but theirs,
        which was asked before."""
        if self._validates is None:
            return None
        found = await dane.look_up(self._resolver, domain, host, self._port)
        return found if found.state is State.NONE or await self._validates() else None

    def _by_dane(self, found: Dane, host: str) -> TlsDemand:
        match found.state:
            case State.FAILED:
                # Never past it: an attacker who can't sign could still make the answers fail (RFC 7672 §2.1).
                return _refused("dnssec-failed", f"Nothing is sent to {host} for now (DANE): {found.reason}")
            case State.USABLE:
                return TlsDemand(
                    StartTls.REQUIRED,
                    unverified_context(),
                    check=self._check(found),
                    rule=f"DANE demands TLS with a certificate that matches {found.reason}",
                    proof="certificate matches TLSA (DANE)",
                )
        return TlsDemand(
            StartTls.REQUIRED,
            unverified_context(),
            rule=f"DANE demands TLS, with any certificate: {found.reason}",
            proof="any certificate (DANE, no usable TLSA)",
        )

    def _check(self, found: Dane) -> CertificateCheck:
        def check(chain: Sequence[bytes]) -> str:
            matched = dane.match(found.records, chain, found.names, self._clock())
            return "" if matched.record else matched.reason

        return check

    def _by_sts(self, sts: Sts, domain: str, host: str) -> TlsDemand:
        assert sts.policy is not None
        if not sts.policy.allows(host):
            return _refused("sts-host", f"The MTA-STS policy of {domain} does not name its mail host {host}")
        return TlsDemand(
            StartTls.REQUIRED,
            self._context or verified_context(),
            rule=f"the MTA-STS policy of {domain} (enforce) demands TLS with a certificate that is good for {host}",
            proof="certificate verified (MTA-STS)",
        )


def _refused(reason: str, text: str) -> TlsDemand:
    outcome = Outcome(Fate.LATER, "4.7.5", text, reason)
    return TlsDemand(StartTls.REQUIRED, unverified_context(), refusal=outcome)
