from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "mailsuite.reports"
    label = "reports"
    verbose_name = "Reports"
