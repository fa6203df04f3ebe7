from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.adminkit.fields import badge
from mailsuite.adminkit.scoping import (
    ACT,
    ADD,
    CHANGE,
    DELETE,
    VIEW,
    ScopedAdmin,
    ScopedFilter,
    ServiceForm,
    SettingsAdmin,
    Verb,
)
from mailsuite.directory.models import Domain
from mailsuite.mail.address import AddressError, read_domain
from mailsuite.reports import overview
from mailsuite.reports.models import (
    DmarcRecord,
    DmarcReport,
    IncomingReport,
    OutgoingReport,
    ReportExclusion,
    ReportSettings,
    TlsReport,
)
from mailsuite.writer.storage import mail_storage

TONES = {"read": "good", "waiting": "waiting", "failed": "bad", "sent": "good"}
ROWS = 200


@admin.register(DmarcReport)
class DmarcReportAdmin(ScopedAdmin):
    """Aggregate reports as they came; the pages that add them up hang here too."""

    intro = "Single reports as they came, about mail in your domains' names. What they come to is under Reports."
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW})
    list_display = ("org_name", "reporter", "policy_domain", "period", "message_count", "aligned_count")
    list_filter = (("domain", ScopedFilter),)
    search_fields = ("org_name", "reporter", "policy_domain", "report_id")
    change_form_outer_before_template = "admin/dmarc_report.html"

    def get_fieldsets(self, request: HttpRequest, obj: DmarcReport | None = None) -> list[Any]:
        """None: the template above them tells it all."""
        return []

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("overview/", wrap(self.overview_view), name="reports_overview"),
            path("domain/<int:domain_id>/", wrap(self.domain_view), name="reports_domain"),
            path("domain/<int:domain_id>/source/", wrap(self.source_view), name="reports_source"),
            *super().get_urls(),
        ]

    def changeform_view(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        report = self.find(request, object_id) if object_id else None
        if report is not None:
            request.report = report  # type: ignore[attr-defined]
            records = DmarcRecord.objects.using("reader").filter(report=report.pk)[:ROWS]
            request.report_records = list(records)  # type: ignore[attr-defined]
            request.report_more = max(0, report.records_read - ROWS)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kwargs)

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """Each domain with its share of mail that passes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        days = overview.period(request.GET.get("days", ""))
        domains = self.visible(request, Domain).filter(alias_of=None).order_by("name")[:ROWS]
        lines = overview.domain_lines(domains, days)
        return self._page(request, "admin/reports_overview.html", "Reports", days, {"lines": lines})

    def domain_view(self, request: HttpRequest, domain_id: int) -> HttpResponse:
        """What reports say of one domain."""
        domain, days = self._domain(request, domain_id), overview.period(request.GET.get("days", ""))
        context = overview.domain_page(domain, days) | {"domain": domain}
        return self._page(request, "admin/reports_domain.html", f"Reports about {domain}", days, context)

    def source_view(self, request: HttpRequest, domain_id: int) -> HttpResponse:
        """One sender in a domain's name."""
        domain, days = self._domain(request, domain_id), overview.period(request.GET.get("days", ""))
        source = request.GET.get("name", "")
        context = overview.source_page(domain, source, days) | {"domain": domain, "source": source}
        if context["line"] is None:
            raise Http404
        return self._page(request, "admin/reports_source.html", context["line"].name, days, context)

    def _domain(self, request: HttpRequest, domain_id: int) -> Domain:
        domain: Domain | None = self.visible(request, Domain).filter(pk=domain_id).first()
        if domain is None:
            raise Http404
        return domain

    def _page(
        self, request: HttpRequest, template: str, title: str, days: int, context: dict[str, Any]
    ) -> HttpResponse:
        shared = {"title": title, "opts": self.opts, "days": days, "periods": overview.PERIODS}
        return TemplateResponse(request, template, self.admin_site.each_context(request) | shared | context)

    @admin.display(description="Period", ordering="begins_at")
    def period(self, report: DmarcReport) -> str:
        return f"{report.begins_at:%Y-%m-%d %H:%M} – {report.ends_at:%Y-%m-%d %H:%M} UTC"


@admin.register(IncomingReport)
class IncomingReportAdmin(ScopedAdmin):
    """Mail to the report addresses, and what came of it."""

    intro = (
        "Mail to the report addresses, and whether it could be read and counts. A report counts when it came from "
        "elsewhere, was sent by the organisation that it names as its reporter, and is about the domain that asked for "
        "it; a forwarded one, by the signature of its own mail, or when you administer the domain and forward it "
        "yourself as an attachment. What the reports say is under Reports; there is nothing to mend here when one of a "
        "stranger fails."
    )
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("received_at", "address", "sender_domain", "state_badge", "verified_badge", "reason")
    list_filter = ("state", "cause", "kind", ("domain", ScopedFilter))
    search_fields = ("sender_domain", "address")
    fields = ("address", "sender_domain", "received_at", "state_badge", "verified_badge", "reason", "story", "raw")
    verbs = (
        Verb(
            "read",
            "Read again",
            "refresh",
            "",
            lambda row: row.content_id is not None and row.state in ("failed", "ignored", "uncounted"),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[IncomingReport]:
        return super().get_queryset(request).select_related("domain")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.raw_view)
        return [path("<int:object_id>/raw/", view, name="reports_incomingreport_raw"), *super().get_urls()]

    def raw_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The mail as it came, to be kept as a file: never shown, since it is a stranger's."""
        row = self.find(request, object_id)
        if row is None or row.content is None:
            raise Http404
        try:
            with mail_storage().open(row.content.blob) as blob:
                octets = blob.read()
        except FileNotFoundError:
            messages.error(request, "The mail is gone.")
            return HttpResponseRedirect(reverse("admin:reports_incomingreport_change", args=[object_id]))
        response = HttpResponse(octets, content_type="application/octet-stream")
        response["Content-Disposition"] = f'attachment; filename="report-{row}.eml"'
        return response

    def do_read(self, request: HttpRequest, row: IncomingReport) -> str:
        IncomingReport.objects.filter(pk=row.pk).update(state=IncomingReport.State.WAITING, attempt_count=0, reason="")
        return "It is read again within a minute."

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: IncomingReport) -> SafeString:
        return badge(row.state, TONES.get(row.state, "plain"))

    @admin.display(description="Sender proved", ordering="is_verified")
    def verified_badge(self, row: IncomingReport) -> SafeString:
        if row.state in (IncomingReport.State.WAITING, IncomingReport.State.IGNORED):
            return badge("–")
        return badge("verified", "good") if row.is_verified else badge("unverified", "waiting")

    @admin.display(description="Message")
    def story(self, row: IncomingReport) -> SafeString | str:
        if row.story_id is None:
            return "–"
        return format_html(
            '<a class="ms-link" href="{}">its way</a>', reverse("admin:trace_story_change", args=[row.story_id])
        )

    @admin.display(description="Raw mail")
    def raw(self, row: IncomingReport) -> SafeString | str:
        if row.content_id is None:
            return "not kept any more"
        url = reverse("admin:reports_incomingreport_raw", args=[row.pk])
        return format_html('<a class="ms-link" href="{}">download</a>', url)


@admin.register(TlsReport)
class TlsReportAdmin(ScopedAdmin):
    intro = "Single reports as they came, about encryption on the way to you. What they come to is under Reports."
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW})
    list_display = ("org_name", "reporter", "domain", "begins_at")
    list_filter = (("domain", ScopedFilter),)
    search_fields = ("org_name", "reporter", "report_id")
    fields = ("org_name", "reporter", "domain", "contact", "report_id", "begins_at", "ends_at", "sessions")

    @admin.display(description="Sessions")
    def sessions(self, report: TlsReport) -> SafeString:
        lines = [
            f"{policy.policy_domain} ({policy.policy_type}): {policy.successes} secure, {policy.failures} failed"
            for policy in report.policies.all()
        ]
        return format_html('<span class="ms-lines">{}</span>', "\n".join(lines))


@admin.register(OutgoingReport)
class OutgoingReportAdmin(ScopedAdmin):
    """What we owe others and what came of it; they tell of all domains' traffic, so domain administrators see none."""

    intro = "Daily reports to domains that ask what came here in their name."
    superusers_may = frozenset({VIEW, ACT})
    list_display = ("policy_domain", "day", "state_badge", "message_count", "recipients", "reason")
    list_filter = ("state", "day")
    search_fields = ("policy_domain", "recipients")
    fields = (
        *("policy_domain", "day", "state_badge", "reason", "rua", "recipients", "file_name", "record_count"),
        *("message_count", "next_attempt_at", "attempt_count", "sent_at", "submitter"),
    )
    verbs = (
        Verb("send", "Send now", "send", "", lambda row: row.state == "waiting"),
        Verb("skip", "Don't send", "block", "Never send this report?", lambda row: row.state == "waiting"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutgoingReport]:
        return super().get_queryset(request).defer("octets")

    def do_send(self, request: HttpRequest, row: OutgoingReport) -> str:
        OutgoingReport.objects.filter(pk=row.pk, state="waiting").update(next_attempt_at=timezone.now())
        return f"The report to {row.policy_domain} is sent within minutes."

    def do_skip(self, request: HttpRequest, row: OutgoingReport) -> str:
        OutgoingReport.objects.filter(pk=row.pk, state="waiting").update(
            state="skipped", reason=f"by {request.user}", octets=None
        )
        return f"{row.policy_domain} gets no report about {row.day}."

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: OutgoingReport) -> SafeString:
        return badge(row.state, TONES.get(row.state, "plain"))


@admin.register(ReportSettings)
class ReportSettingsAdmin(SettingsAdmin):
    superusers_may = frozenset({VIEW, CHANGE})
    fields = ("sends_dmarc", "org_name", "submitter")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "submitter":
            kwargs["queryset"] = Domain.objects.filter(alias_of=None, state=Domain.State.ACTIVE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ExclusionForm(ServiceForm):
    def clean_domain_name(self) -> str:
        try:
            return read_domain(self.cleaned_data["domain_name"])
        except AddressError as error:
            raise ValidationError(str(error)) from None


@admin.register(ReportExclusion)
class ReportExclusionAdmin(ScopedAdmin):
    intro = "Domains that get no reports from this host, nor do names below them."
    form = ExclusionForm
    superusers_may = frozenset({VIEW, ADD, CHANGE, DELETE})
    list_display = ("domain_name", "note")
    search_fields = ("domain_name", "note")
    fields = ("domain_name", "note")
