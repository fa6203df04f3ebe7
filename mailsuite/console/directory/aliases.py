"""The admin's pages of aliases."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from mailsuite.adminkit.fields import (
    DomainPicker,
    badge,
    offered_domains,
    refuse_foreign_account,
    refuse_foreign_domain,
    whole_address,
)
from mailsuite.adminkit.scoping import ADD, CHANGE, DELETE, VIEW, ScopedAdmin, ScopedFilter, ServiceForm, scope_of
from mailsuite.directory.models import Alias, AliasTarget, Domain, SendAs, User
from mailsuite.provisioning import effects, services


class AliasForm(ServiceForm):
    targets = forms.CharField(
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="One address a line, here or elsewhere.",
    )

    class Meta:
        model = Alias
        fields = ["address", "is_active", "members_may_send"]
        help_texts = {"address": "Such as sales, or sales-* for a pattern; for a catch-all @example.org, whole."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["targets"] = "\n".join(
                target.address for target in self.instance.targets.filter(removed_at=None)
            )


def _targets(text: str) -> list[str]:
    """The addresses that were typed; people write commas as well."""
    return text.replace(",", "\n").split()


@admin.register(Alias)
class AliasAdmin(ScopedAdmin):
    intro = "Addresses without a mailbox of their own: mail to them goes to other addresses, here or elsewhere."
    form = AliasForm
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, CHANGE, DELETE})
    delete_confirmation_template = "admin/verb_page.html"
    list_display = ("address", "kind", "leads_to", "state_badge")
    list_filter = ("kind", "is_active", ("domain", ScopedFilter))
    search_fields = ("address", "targets__address")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        """Those in use; what forwards a mailbox's mail is on that mailbox's page."""
        rows = super().get_queryset(request).filter(removed_at=None).exclude(kind=Alias.Kind.FORWARD)
        return rows.prefetch_related(Prefetch("targets", AliasTarget.objects.filter(removed_at=None)))

    def get_fields(self, request: HttpRequest, obj: Alias | None = None) -> list[str]:
        return ["address", "targets", "is_active", "members_may_send"]

    def get_readonly_fields(self, request: HttpRequest, obj: Alias | None = None) -> tuple[str, ...]:
        return ("address",) if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        fields = ["is_active", "members_may_send"] if obj else ["address", "is_active", "members_may_send"]
        shown = {"help_texts": {"address": ""}} if obj else {}
        form = super().get_form(request, obj, change=change, **kwargs | {"fields": fields} | shown)
        if obj is None:
            form.base_fields["address"].widget = DomainPicker(offered_domains(self.visible(request, Domain)))
        return form

    def is_dangerous(self, request: HttpRequest, what: str, object_id: str | None = None) -> bool:
        """Where mail goes is nobody's to change at a browser that was left open."""
        if what != CHANGE:
            return what == ADD or super().is_dangerous(request, what, object_id)
        alias = self.find(request, object_id)
        there = {target.address for target in alias.targets.all()} if alias else set()
        return set(_targets(request.POST.get("targets", ""))) != there

    def prepare(self, request: HttpRequest, object_id: str | None) -> None:
        if not object_id:
            refuse_foreign_domain(request, whole_address(request.POST).rpartition("@")[2])

    def save_model(self, request: HttpRequest, obj: Alias, form: Any, change: bool) -> None:
        given = form.cleaned_data
        targets = _targets(given["targets"])
        if not change:
            obj.pk = services.add_alias(given["address"], targets, members_may_send=given["members_may_send"])
        services.change_alias(
            obj.address if change else given["address"],
            targets=targets if change else None,
            is_active=given["is_active"],
            members_may_send=given["members_may_send"],
        )
        obj.refresh_from_db()

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Asked on the page that other removals have; the alias is marked, and can be restored."""
        alias = self.find(request, object_id)
        if alias is not None:
            page = {
                "title": f"Remove {alias}?",
                "row": alias,
                "label": "Remove",
                "icon": "delete",
                "list_name": "Aliases",
            }
            page |= {"act_url": request.path, "hidden": [("post", "yes")]}
            page |= {"back": reverse("admin:directory_alias_change", args=[alias.pk])}
            page |= {"list_name": "Aliases", "list_url": reverse("admin:directory_alias_changelist")}
            extra_context = page | {"lines": effects.of_alias(alias, scope_of(request))}
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Alias) -> None:
        services.remove_alias(obj.address)

    @admin.display(description="Leads to")
    def leads_to(self, alias: Alias) -> str:
        targets = [target.address for target in alias.targets.all()]
        more = f" and {len(targets) - 3} more" if len(targets) > 3 else ""
        return ", ".join(targets[:3]) + more or "nobody: what it led to was removed"

    @admin.display(description="State", ordering="is_active")
    def state_badge(self, alias: Alias) -> SafeString:
        return badge("on", "good") if alias.is_active else badge("off", "waiting")


@admin.register(SendAs)
class SendAsAdmin(ScopedAdmin):
    intro = "Who may write in the name of an address that is neither their mailbox nor an alias to it."
    scope = ("user__mailboxes__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, DELETE})
    list_display = ("user", "address")
    search_fields = ("user__email", "address")
    autocomplete_fields = ("user",)
    asks_password = frozenset({ADD, DELETE})
    fields = ("user", "address")

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of the accounts that are wholly theirs, as in the list of accounts; and whoever else may write in their
        domains' names, which may have been given by an administrator of before."""
        domains = scope_of(request)
        if domains is None:
            return rows
        own = Q(user__in=self.visible(request, User).order_by().values("pk"))
        for name in Domain.objects.filter(pk__in=domains).values_list("name", flat=True):
            own |= Q(address_key__endswith=f"@{name}")
        return rows.filter(own)

    def prepare(self, request: HttpRequest, object_id: str | None) -> None:
        refuse_foreign_domain(request, request.POST.get("address", "").rpartition("@")[2])

    def save_model(self, request: HttpRequest, obj: SendAs, form: Any, change: bool) -> None:
        refuse_foreign_account(request, form.cleaned_data["user"])
        obj.pk = services.grant_send_as(form.cleaned_data["user"].pk, form.cleaned_data["address"])
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: SendAs) -> None:
        services.revoke_send_as(obj.pk)
