from django.apps import AppConfig


class ScreeningConfig(AppConfig):
    name = "mailsuite.screening"
    label = "screening"
    verbose_name = "Screening"
