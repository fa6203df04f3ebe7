"""TLS policies for tests that deliver to hosts of which DNS says nothing."""

from smtpd_service.outbound.routing import Security
from smtpd_service.outbound.tls_policy import TlsDemand, demand_of


class Opportunistic:
    """TLS with whoever offers it, whatever the certificate."""

    async def for_host(self, domain: str, host: str) -> TlsDemand:
        return demand_of(Security.OPPORTUNISTIC)
