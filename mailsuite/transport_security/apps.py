from django.apps import AppConfig
from django.core import checks


class TransportSecurityConfig(AppConfig):
    name = "mailsuite.transport_security"
    label = "transport_security"
    verbose_name = "Transport security"

    def ready(self) -> None:
        from mailsuite.transport_security.checks import check_tlsa

        checks.register(check_tlsa)
