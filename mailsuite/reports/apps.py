from django.apps import AppConfig

from mailsuite.jobs import registry as jobs


class ReportsConfig(AppConfig):
    name = "mailsuite.reports"
    label = "reports"
    verbose_name = "Reports"

    def ready(self) -> None:
        from mailsuite.reports import placing
        from mailsuite.store import hooks
        from mailsuite.store.operations import ReportDelivery

        hooks.register_place(ReportDelivery, placing.place)
        hooks.TAKE_BACK.append(placing.take_back)
        jobs.register("mailsuite.reports.jobs")
