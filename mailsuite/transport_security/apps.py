from django.apps import AppConfig
from django.core import checks

from mailsuite.jobs import registry as jobs


class TransportSecurityConfig(AppConfig):
    name = "mailsuite.transport_security"
    label = "transport_security"
    verbose_name = "Transport security"

    def ready(self) -> None:
        from mailsuite.transport_security.checks import check_tlsa

        checks.register(check_tlsa)
        jobs.register("mailsuite.transport_security.jobs")
