from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "mailsuite.portal"
    label = "portal"
    verbose_name = "Owners' pages"
