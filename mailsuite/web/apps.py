from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "mailsuite.web"
    label = "web"
    verbose_name = "Web"
