from django.apps import AppConfig


class DirectoryConfig(AppConfig):
    name = "mailsuite.directory"
    label = "directory"
    verbose_name = "Directory"
