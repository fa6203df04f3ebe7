"""The admin's pages of hosted domains."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from mailsuite.adminkit.fields import TONES, QuotaField, badge, require_quota
from mailsuite.adminkit.scoping import ACT, ADD, CHANGE, VIEW, ScopedAdmin, ServiceForm, Verb, scope_of
from mailsuite.adminkit.verb_pages import VerbPage, VerbPages
from mailsuite.console.directory.domain_dns import DnsPages
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.provisioning import effects, services
from mailsuite.records import background
from mailsuite.signing.keys import make_key_pairs

LIVE = ~Q(mailboxes__state=Mailbox.State.REMOVED)


class DomainForm(ServiceForm):
    default_quota_octets = QuotaField(label="Quota of new mailboxes")
    postmaster = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Who reads postmaster@ and abuse@. Empty: the first administrator.",
    )

    class Meta:
        model = Domain
        fields = ["name", "alias_of", "description", "default_quota_octets", "administrators"]


@admin.register(Domain)
class DomainAdmin(DnsPages, VerbPages, ScopedAdmin):
    intro = "Domains whose mail comes here. The share is how much of their DNS is as it should be: open one to see."
    form = DomainForm
    scope = ("pk",)
    superusers_may = frozenset({VIEW, ADD, CHANGE, ACT})
    domain_administrators_may = frozenset({VIEW, CHANGE, ACT})
    list_display = ("name", "state_badge", "mailbox_count", "storage", "records_link", "description")
    search_fields = ("name", "description")
    ordering = ("name",)
    autocomplete_fields = ("administrators",)
    verbs = (
        Verb("records", "DNS records", "dns"),
        Verb(
            *(
                "disable",
                "Disable",
                "pause",
                "Take no mail for this domain for now, and let nobody sign in? Senders are asked to try again later.",
            ),
            lambda d: d.state == "active",
            superusers_only=True,
            asks_password=True,
        ),
        Verb("enable", "Enable", "play_arrow", "", lambda d: d.state == "disabled", True),
        Verb("remove", "Remove", "delete", superusers_only=True, asks_password=True, has_page=True),
    )
    verb_pages = {
        "remove": VerbPage("Stop hosting {}?", lambda request, domain: effects.of_domain(domain)),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        rows = super().get_queryset(request).exclude(state=Domain.State.REMOVED).select_related("alias_of", "dns_check")
        return rows.annotate(  # type: ignore[no-any-return]
            mailbox_total=Count("mailboxes", filter=LIVE),
            used_octets=Sum("mailboxes__usage__used_octets", filter=LIVE),
        )

    def get_fields(self, request: HttpRequest, obj: Domain | None = None) -> list[str]:
        fields = ["name", "alias_of", "postmaster", "description", "default_quota_octets", "administrators"]
        if obj is not None:
            fields.remove("postmaster")
        return fields if scope_of(request) is None else ["name", "description", "default_quota_octets"]

    def get_readonly_fields(self, request: HttpRequest, obj: Domain | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # `postmaster` is the form's own field, which the model's form factory doesn't know.
        fields = [name for name in self.get_fields(request, obj) if name != "postmaster"]
        form = super().get_form(request, obj, change=change, **kwargs | {"fields": fields})
        if obj is not None:
            require_quota(form, "default_quota_octets")
        else:
            form.base_fields["default_quota_octets"].initial = settings.MAILSUITE.default_quota
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "alias_of":
            kwargs["queryset"] = Domain.objects.filter(alias_of=None).exclude(state=Domain.State.REMOVED)
            kwargs["empty_label"] = "none: a domain of its own"
            kwargs["help_text"] = "Makes it another name of that domain."
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def is_dangerous(self, request: HttpRequest, what: str, object_id: str | None = None) -> bool:
        """Who may administer the domain, and where its mail goes, is nobody's to change at a browser that was left
        open."""
        if what not in (ADD, CHANGE) or scope_of(request) is not None:
            return super().is_dangerous(request, what, object_id)
        domain = self.find(request, object_id) if object_id else None
        there = set(domain.administrators.values_list("pk", flat=True)) if domain else set()
        if domain and "alias_of" in request.POST and request.POST["alias_of"] != str(domain.alias_of_id or ""):
            return True
        return set(request.POST.getlist("administrators")) != {str(pk) for pk in there}

    def prepare(self, request: HttpRequest, object_id: str | None) -> None:
        request.key_pairs = None if object_id else make_key_pairs()  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: Domain, form: Any, change: bool) -> None:
        given = form.cleaned_data
        alias_of = str(given.get("alias_of") or "")
        if change:
            services.change_domain(
                obj.name,
                description=given["description"],
                default_quota_octets=given["default_quota_octets"],
                alias_of=alias_of if "alias_of" in given else None,
            )
            return
        obj.pk = services.add_domain(
            given["name"],
            postmaster=given["postmaster"],
            alias_of=alias_of,
            description=given["description"],
            default_quota_octets=given["default_quota_octets"],
            key_pairs=request.key_pairs,  # type: ignore[attr-defined]
        )
        obj.refresh_from_db()

    def response_add(self, request: HttpRequest, obj: Domain, post_url_continue: str | None = None) -> HttpResponse:
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)  # type: ignore[no-any-return]
        transaction.on_commit(lambda: background.start_check(obj.pk))
        self.message_user(request, f"{obj} is hosted. Publish these DNS records, then add mailboxes.")
        return HttpResponseRedirect(reverse("admin:directory_domain_records", args=[obj.pk]))

    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        if verb == "records" and self.find(request, object_id):
            return HttpResponseRedirect(reverse("admin:directory_domain_records", args=[object_id]))
        return super().verb_view(request, object_id, verb)

    def do_disable(self, request: HttpRequest, domain: Domain) -> str:
        services.set_domain_state(domain.name, disabled=True)
        return f"{domain} takes no mail now: senders are asked to try again later, as they do for some days."

    def do_enable(self, request: HttpRequest, domain: Domain) -> str:
        services.set_domain_state(domain.name, disabled=False)
        return f"{domain} takes mail."

    def do_remove(self, request: HttpRequest, domain: Domain) -> str:
        services.remove_domain(domain.name)
        return f"{domain} is no longer hosted. {effects.KEPT}"

    @admin.display(description="State", ordering="state")
    def state_badge(self, domain: Domain) -> SafeString:
        if domain.alias_of_id and domain.state == Domain.State.ACTIVE:
            return badge("another name", "plain")
        return badge(domain.state, TONES.get(domain.state, "plain"))

    @admin.display(description="Mailboxes", ordering="mailbox_total")
    def mailbox_count(self, domain: Any) -> SafeString:
        url = f"{reverse('admin:directory_mailbox_changelist')}?domain__id__exact={domain.pk}"
        return format_html('<a class="ms-link" href="{}">{}</a>', url, domain.mailbox_total)

    @admin.display(description="Stored", ordering="used_octets")
    def storage(self, domain: Any) -> str:
        return filesizeformat(domain.used_octets or 0)

    @admin.display(description="DNS", ordering="dns_check__score")
    def records_link(self, domain: Domain) -> SafeString:
        url = reverse("admin:directory_domain_records", args=[domain.pk])
        check = getattr(domain, "dns_check", None)
        if check is None or check.score is None:
            return format_html('<a class="ms-link" href="{}">records</a>', url)
        tone = "good" if check.score >= 90 else "waiting" if check.score >= 50 else "bad"
        text = check.next_step or "all is well"
        return format_html('<a href="{}" title="{}">{}</a>', url, text, badge(f"{check.score} %", tone))
