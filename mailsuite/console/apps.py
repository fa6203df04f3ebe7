from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "mailsuite.console"
    label = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        from mailsuite.console import proving

        proving.connect()
