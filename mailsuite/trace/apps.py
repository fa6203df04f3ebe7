from django.apps import AppConfig


class TraceConfig(AppConfig):
    name = "mailsuite.trace"
    label = "trace"
    verbose_name = "Traffic"
