from django.apps import AppConfig


class AdminkitConfig(AppConfig):
    name = "mailsuite.adminkit"
    label = "adminkit"
    verbose_name = "Kit of the admin's pages"
