from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class AccessConfig(AppConfig):
    name = "mailsuite.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        jobs.register("mailsuite.access.jobs")
