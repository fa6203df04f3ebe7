from django.apps import AppConfig


class RecordsConfig(AppConfig):
    name = "mailsuite.records"
    label = "records"
    verbose_name = "Domain records"
