from django.apps import AppConfig


class SupervisorConfig(AppConfig):
    name = "mailsuite.supervisor"
    label = "supervisor"
    verbose_name = "Supervisor"
