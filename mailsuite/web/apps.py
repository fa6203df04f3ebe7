from django.apps import AppConfig
from django.core import checks


class WebConfig(AppConfig):
    name = "mailsuite.web"
    label = "web"
    verbose_name = "Web"

    def ready(self) -> None:
        from mailsuite.web.checks import check_alarms, check_configuration, check_pages, check_secrets, check_user

        checks.register(check_user)
        checks.register(check_configuration)
        checks.register(check_secrets)
        checks.register(check_pages)
        checks.register(check_alarms)
