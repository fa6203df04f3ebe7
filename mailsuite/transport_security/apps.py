from django.apps import AppConfig


class TransportSecurityConfig(AppConfig):
    name = "mailsuite.transport_security"
    label = "transport_security"
    verbose_name = "Transport security"
