from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class SmtpdServiceConfig(AppConfig):
    name = "smtpd_service"
    label = "smtpd_service"

    def ready(self) -> None:
        jobs.register("smtpd_service.jobs")
