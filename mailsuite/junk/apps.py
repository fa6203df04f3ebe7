from django.apps import AppConfig


class JunkConfig(AppConfig):
    name = "mailsuite.junk"
    label = "junk"
    verbose_name = "Junk filter"
