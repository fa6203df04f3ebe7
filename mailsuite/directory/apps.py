from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class DirectoryConfig(AppConfig):
    name = "mailsuite.directory"
    label = "directory"
    verbose_name = "Directory"

    def ready(self) -> None:
        jobs.register("mailsuite.directory.jobs")
