"""The admin's pages of who signed in, and of who must wait after wrong passwords."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from mailsuite.access import throttle
from mailsuite.adminkit.fields import badge, moment
from mailsuite.adminkit.parameters import WordFilter
from mailsuite.adminkit.scoping import ACT, VIEW, ScopedAdmin, Verb, scope_of
from mailsuite.directory.models import Domain, Login, LoginThrottle


class ProtocolFilter(WordFilter):
    title = parameter_name = "protocol"
    words = ("web", "smtp", "imap", "pop3")


@admin.register(Login)
class LoginAdmin(ScopedAdmin):
    superusers_may = domain_administrators_may = frozenset({VIEW})
    intro = "Who signed in, or tried to, from where; the same within some minutes is one line."
    list_display = ("at", "address", "protocol", "client_address", "outcome", "times")
    list_filter = ("succeeded", ProtocolFilter)
    search_fields = ("address_key", "client_address")
    ordering = ("-at",)
    fields = ("at", "address", "protocol", "client_address", "outcome", "times")

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """By the address that was tried, which need not be anybody's; nothing of before the domain was theirs."""
        domains = scope_of(request)
        if domains is None:
            return rows
        condition = Q(pk__in=())
        for name, since in Domain.objects.filter(pk__in=domains).values_list("name", "created_at"):
            condition |= Q(address_key__endswith=f"@{name}", at__gte=since)
        return rows.filter(condition)

    @admin.display(description="Address", ordering="address_key")
    def address(self, login: Login) -> str:
        return login.address_key

    @admin.display(description="Outcome", ordering="succeeded")
    def outcome(self, login: Login) -> SafeString:
        return badge("signed in", "good") if login.succeeded else badge(login.reason, "bad")


@admin.register(LoginThrottle)
class LoginThrottleAdmin(ScopedAdmin):
    intro = (
        "Who typed wrong passwords lately. Past some failures they must wait, longer each time, before a password is "
        "even looked at; that ends by itself. Lift it for somebody who has found the right one."
    )
    superusers_may = frozenset({VIEW, ACT})
    list_display = ("who", "failures", "state_badge", "until")
    search_fields = ("key",)
    ordering = ("-blocked_until", "-failures")
    fields = ("who", "state_badge", "failures", "since", "until")
    actions = ("lift",)
    verbs = (Verb("lift", "Lift: may try again", "lock_open"),)

    @admin.action(description="Lift: forget these failures")
    def lift(self, request: HttpRequest, queryset: QuerySet[LoginThrottle]) -> None:
        keys = list(queryset.values_list("key", flat=True))
        throttle.lift(keys)
        self.message_user(request, f"{len(keys)} forgotten.")

    def do_lift(self, request: HttpRequest, row: LoginThrottle) -> str:
        throttle.lift([row.key])
        return f"{row} may try again."

    @admin.display(description="Who fails", ordering="key")
    def who(self, row: LoginThrottle) -> str:
        return str(row)

    @admin.display(description="First failure", ordering="window_started_at")
    def since(self, row: LoginThrottle) -> SafeString:
        return moment(row.window_started_at)

    @admin.display(description="Must wait until", ordering="blocked_until")
    def until(self, row: LoginThrottle) -> SafeString:
        return moment(row.blocked_until)

    @admin.display(description="State")
    def state_badge(self, row: LoginThrottle) -> SafeString:
        blocked = row.blocked_until is not None and row.blocked_until > timezone.now()
        return badge("must wait", "bad") if blocked else badge("counted", "plain")
