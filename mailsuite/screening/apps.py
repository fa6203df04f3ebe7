from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class ScreeningConfig(AppConfig):
    name = "mailsuite.screening"
    label = "screening"
    verbose_name = "Screening"

    def ready(self) -> None:
        jobs.register("mailsuite.screening.jobs")
