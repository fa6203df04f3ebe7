from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "mailsuite.jobs"
    label = "jobs"
    verbose_name = "Jobs"
