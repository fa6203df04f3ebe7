"""The admin's list of jobs: the work that comes round, with what came of each the last time."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.adminkit.fields import badge
from mailsuite.adminkit.scoping import VIEW, ScopedAdmin
from mailsuite.jobs.models import JobRun
from mailsuite.jobs.registry import all_jobs


@admin.register(JobRun)
class JobRunAdmin(ScopedAdmin):
    intro = (
        "Work that comes round by itself: old rows are forgotten, alarms raised, DNS is asked. Each line is the last "
        "run of a job. One that fails is tried again in its turn, and the log says more under its name. "
        "To do one at once: manage.py jobs --run JOB."
    )
    superusers_may = frozenset({VIEW})
    list_display = ("name", "state", "started_at", "took", "result")
    search_fields = ("name", "error")
    fields = ("name", "state", "started_at", "took", "failures", "result")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without jobs of an older version."""
        return super().get_queryset(request).filter(name__in=[job.name for job in all_jobs()])

    @admin.display(description="State", ordering="-failures")
    def state(self, run: JobRun) -> SafeString:
        return badge("worked", "good") if run.done is not None else badge("failed", "bad")

    @admin.display(description="Took", ordering="seconds")
    def took(self, run: JobRun) -> str:
        return f"{run.seconds:.1f} s"

    @admin.display(description="Result", ordering="error")
    def result(self, run: JobRun) -> SafeString:
        does = next((job.does for job in all_jobs() if job.name == run.name), "")
        text = run.error if run.done is None else f"{run.done} {does}"
        return format_html('<span class="ms-wrap">{}</span>', text)
