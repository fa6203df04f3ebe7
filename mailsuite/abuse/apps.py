from django.apps import AppConfig


class AbuseConfig(AppConfig):
    name = "mailsuite.abuse"
    label = "abuse"
    verbose_name = "Abuse"
