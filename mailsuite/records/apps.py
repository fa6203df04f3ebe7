from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class RecordsConfig(AppConfig):
    name = "mailsuite.records"
    label = "records"
    verbose_name = "Domain records"

    def ready(self) -> None:
        jobs.register("mailsuite.records.jobs")
