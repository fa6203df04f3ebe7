from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class DirectoryConfig(AppConfig):
    name = "mailsuite.directory"
    label = "directory"
    verbose_name = "Directory"

    def ready(self) -> None:
        from mailsuite.directory.account_events import password_was_saved
        from mailsuite.directory.signals import password_saved

        password_saved.connect(password_was_saved)
        jobs.register("mailsuite.directory.jobs")
