from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class SupervisorConfig(AppConfig):
    name = "mailsuite.supervisor"
    label = "supervisor"
    verbose_name = "Supervisor"

    def ready(self) -> None:
        if not hasattr(settings, "MAILSUITE"):
            raise ImproperlyConfigured(
                "Mailsuite's apps need its settings as well, its database, accounts and middleware: have `from "
                "mailsuite.settings import *` in this site's settings, and add your own apps behind it (README.md, In "
                "your Django site)."
            )
