from django.apps import AppConfig


class SmtpdServiceConfig(AppConfig):
    name = "smtpd_service"
    label = "smtpd_service"
