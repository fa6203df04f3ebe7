"""The admin's pages of bans and of networks that are never banned."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from mailsuite.access import bans
from mailsuite.access.models import AllowedNetwork, Ban
from mailsuite.adminkit.fields import badge, moment
from mailsuite.adminkit.scoping import ACT, ADD, DELETE, VIEW, ScopedAdmin, ServiceForm, Verb


def _is_in_force(ban: Ban) -> bool:
    return ban.ends_at is None or ban.ends_at > timezone.now()


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ended", "ended"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        """Without Django's "All": what is shown first are bans in force."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "in force"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        in_force = Q(ends_at=None) | Q(ends_at__gt=timezone.now())
        return queryset.exclude(in_force) if self.value() == "ended" else queryset.filter(in_force)


class BanForm(ServiceForm):
    class Meta:
        model = Ban
        fields = ["subject", "ends_at", "note"]
        help_texts = {
            "subject": "Such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/64; or an account's address: then only networks "
            "from which it was signed in to lately may try its password.",
            "ends_at": "Empty for a ban that ends when it is lifted.",
            "note": "Shown to other administrators.",
        }
        labels = {"ends_at": "Ends", "note": "Why"}

    def validate_unique(self) -> None:
        """A ban that is there is replaced."""


@admin.register(Ban)
class BanAdmin(ScopedAdmin):
    """Who is kept out. Bans are made by what smtpd, retrieval and web count, or here."""

    intro = (
        "Networks that are refused at the door, and accounts whose password only known networks may try. Bans come by "
        "themselves, last longer each time, and end by themselves; lift one that hits the wrong people, and add their "
        "network to those that are never banned."
    )
    form = BanForm
    superusers_may = frozenset({VIEW, ADD, ACT})
    list_display = ("who", "why", "state_badge", "started_at", "ends", "count", "refused_count")
    list_filter = (StateFilter, "reason", "kind")
    search_fields = ("subject", "note")
    ordering = ("-started_at",)
    actions = ("lift",)
    verbs = (Verb("lift", "Lift", "lock_open", "Let it in again, within seconds?"),)

    def get_fields(self, request: HttpRequest, obj: Ban | None = None) -> list[str]:
        if obj is None:
            return ["subject", "ends_at", "note"]
        return ["who", "state_badge", "why", "started_at", "ends_when", "count", "refused_count"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **kwargs | {"fields": ["subject", "ends_at", "note"]})

    def save_model(self, request: HttpRequest, obj: Ban, form: Any, change: bool) -> None:
        given = form.cleaned_data
        note = given["note"] or f"by {request.user}"
        row = bans.ban(given["subject"], reason=Ban.Reason.BY_HAND, ends_at=given["ends_at"], note=note)
        obj.pk, obj.subject = row.pk, row.subject

    @admin.action(description="Lift")
    def lift(self, request: HttpRequest, queryset: QuerySet[Ban]) -> None:
        for ban in queryset:
            self.act(request, lambda ban=ban: self.do_lift(request, ban))  # type: ignore[misc]

    def do_lift(self, request: HttpRequest, ban: Ban) -> str:
        bans.lift(ban.subject)
        return f"{ban} may come in again."

    @admin.display(description="Network or account", ordering="subject")
    def who(self, ban: Ban) -> str:
        return str(ban)

    @admin.display(description="Why", ordering="reason")
    def why(self, ban: Ban) -> str:
        return ban.note if ban.reason == Ban.Reason.BY_HAND and ban.note else ban.get_reason_display()

    @admin.display(description="State")
    def state_badge(self, ban: Ban) -> SafeString:
        return badge("banned", "bad") if _is_in_force(ban) else badge("ended", "plain")

    @admin.display(description="Ends", ordering="ends_at")
    def ends(self, ban: Ban) -> SafeString:
        return moment(ban.ends_at, "when lifted")

    @admin.display(description="Ends")
    def ends_when(self, ban: Ban) -> str:
        if ban.ends_at is None:
            return "when somebody lifts it"
        away = f"in {timeuntil(ban.ends_at)}" if _is_in_force(ban) else f"{timesince(ban.ends_at)} ago"
        return format_html("{}, {}", self.ends(ban), away)


class AllowedNetworkForm(ServiceForm):
    class Meta:
        model = AllowedNetwork
        fields = ["network", "note"]
        help_texts = {"network": "Such as 192.0.2.0/24 or 2001:db8::/48. Bans that lie within it end."}

    def validate_unique(self) -> None:
        """One that is there gets the new note."""


@admin.register(AllowedNetwork)
class AllowedNetworkAdmin(ScopedAdmin):
    intro = "Networks that no ban hits, whatever comes from there: your office, or monitoring that signs in."
    form = AllowedNetworkForm
    superusers_may = frozenset({VIEW, ADD, DELETE})
    list_display = ("network", "note")
    search_fields = ("network", "note")
    fields = ("network", "note")

    def save_model(self, request: HttpRequest, obj: AllowedNetwork, form: Any, change: bool) -> None:
        bans.allow(form.cleaned_data["network"], form.cleaned_data["note"])
        text = str(bans.parse_network(form.cleaned_data["network"]))
        obj.pk = AllowedNetwork.objects.get(network=text).pk

    def delete_model(self, request: HttpRequest, obj: AllowedNetwork) -> None:
        bans.disallow(obj.network)
