"""What was removed and can be restored, in lists of their own."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from mailsuite.adminkit.fields import moment, refuse_foreign_account, refuse_foreign_domain
from mailsuite.adminkit.scoping import ACT, VIEW, ScopedAdmin, ScopedFilter, Verb, scope_of
from mailsuite.adminkit.verb_pages import VerbPage, VerbPages
from mailsuite.directory import parsing
from mailsuite.directory.models import (
    KEPT_REMOVED,
    Alias,
    Domain,
    Mailbox,
    RemovedAlias,
    RemovedDomain,
    RemovedMailbox,
    User,
)
from mailsuite.provisioning import effects, restoring, services

KEPT = f"Kept for {KEPT_REMOVED.days} days, and deleted then."


class RestoreForm(forms.Form):
    address = forms.CharField(
        label="Address",
        widget=UnfoldAdminTextInputWidget,
        help_text="Its own, or another one where that is in use by now.",
    )


class RemovedAdmin(VerbPages, ScopedAdmin):
    """What the lists of removed rows share."""

    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    verbs: tuple[Verb, ...] = (Verb("restore", "Restore", "restore_from_trash", has_page=True, asks_password=True),)
    ordering = ("-removed_at",)

    @admin.display(description="Removed", ordering="removed_at")
    def removed(self, row: Any) -> SafeString:
        return moment(row.removed_at)

    @admin.display(description="Kept until", ordering="removed_at")
    def kept_until(self, row: Any) -> SafeString:
        return moment(row.removed_at + KEPT_REMOVED)


@admin.register(RemovedMailbox)
class RemovedMailboxAdmin(RemovedAdmin):
    intro = (
        f"Mailboxes that were removed; open one to restore it. {KEPT} Those of a removed domain are restored with it."
    )
    scope = ("domain",)
    list_display = ("address", "name", "used", "removed", "kept_until")
    list_filter = (("domain", ScopedFilter),)
    search_fields = ("address", "name")
    fields = ("address", "name", "used", "removed", "kept_until")
    verb_pages = {
        "restore": VerbPage(
            "Restore {}?",
            lambda request, mailbox: effects.of_restoring_mailbox(mailbox, scope_of(request)),
            RestoreForm,
            lambda mailbox: {"address": mailbox.address},
        )
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).filter(pk__in=restoring.removed_mailboxes().order_by().values("pk"))
        return rows.exclude(domain__state=Domain.State.REMOVED).select_related("usage", "domain", "user")

    def do_restore(self, request: HttpRequest, mailbox: Mailbox) -> str:
        address = self.given(request, "restore")["address"]
        refuse_foreign_domain(request, parsing.address(address).domain)
        refuse_foreign_account(request, User.objects.get(pk=mailbox.user_id))
        is_own = parsing.address(address).key == parsing.address(mailbox.address).key
        restored = services.restore_mailbox(mailbox.pk, as_address="" if is_own else address)
        return f"{restored} is there again, with its mail and folders. {effects.NOT_RESTORED}"

    @admin.display(description="Holds", ordering="usage__used_octets")
    def used(self, mailbox: Mailbox) -> str:
        return filesizeformat(mailbox.usage.used_octets)


@admin.register(RemovedAlias)
class RemovedAliasAdmin(RemovedAdmin):
    intro = f"Aliases that were removed; open one to restore it. {KEPT} Those of a removed domain are restored with it."
    scope = ("domain",)
    list_display = ("address", "kind", "led_to", "removed", "kept_until")
    list_filter = (("domain", ScopedFilter),)
    search_fields = ("address",)
    fields = ("address", "kind", "led_to", "removed", "kept_until")
    verb_pages = {"restore": VerbPage("Restore {}?", lambda request, alias: [effects.of_restoring_alias(alias)])}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).filter(pk__in=restoring.removed_aliases().order_by().values("pk"))
        return rows.exclude(domain__state=Domain.State.REMOVED).prefetch_related("targets")

    def do_restore(self, request: HttpRequest, alias: Alias) -> str:
        return f"The alias {services.restore_alias(alias.pk)} is there again."

    @admin.display(description="Led to")
    def led_to(self, alias: Alias) -> str:
        targets = [target.address for target in alias.targets.all()]
        return ", ".join(targets[:3]) + (f" and {len(targets) - 3} more" if len(targets) > 3 else "")


@admin.register(RemovedDomain)
class RemovedDomainAdmin(RemovedAdmin):
    intro = (
        f"Domains that were removed; open one to restore it. {KEPT} A domain comes back with the mailboxes and aliases "
        "that went with it."
    )
    domain_administrators_may = frozenset()
    list_display = ("name", "description", "removed", "kept_until")
    search_fields = ("name", "description")
    fields = ("name", "description", "removed", "kept_until")
    verb_pages = {
        "restore": VerbPage("Restore {}?", lambda request, domain: effects.of_restoring_domain(domain)),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(pk__in=restoring.removed_domains().order_by().values("pk"))

    def do_restore(self, request: HttpRequest, domain: Domain) -> str:
        found = services.restore_domain(domain.pk)
        left = f" Not restored: {'; '.join(found.left)}" if found.left else ""
        return f"{found.name} is hosted again; mailboxes: {found.mailboxes}, aliases: {found.aliases}.{left}"
