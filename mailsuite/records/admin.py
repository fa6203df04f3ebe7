"""The admin's pages of DKIM keys, with the record of each."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.adminkit.fields import badge
from mailsuite.adminkit.scoping import ACT, VIEW, ScopedAdmin, ScopedFilter, Verb
from mailsuite.records.planning import Key, dkim_value
from mailsuite.signing.keys import activate_key, retire_key
from mailsuite.signing.models import DkimKey

TONES = {"active": "good", "pending": "plain", "published": "plain", "retired": "waiting", "revoked": "bad"}


@admin.register(DkimKey)
class DkimKeyAdmin(ScopedAdmin):
    intro = (
        "Keys that sign what your domains send, so that others can tell it from forgeries. Their records are on each "
        "domain's page, where keys are changed as well."
    )
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("name", "domain", "algorithm", "state_badge", "seen_in_dns_at")
    list_filter = ("state", "algorithm", ("domain", ScopedFilter))
    search_fields = ("selector", "domain__name")
    fields = (
        "domain",
        "selector",
        "algorithm",
        "state_badge",
        "record",
        "created_at",
        "activated_at",
        "seen_in_dns_at",
    )
    verbs = (
        Verb(
            *("activate", "Sign with this key", "verified", "", lambda key: key.state not in ("active", "revoked")),
            asks_password=True,
        ),
        Verb(
            *("retire", "Stop signing with it", "pause", "Stop signing with this key?"),
            lambda key: key.state == "active",
            asks_password=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DkimKey]:
        return super().get_queryset(request).select_related("domain").exclude(domain__state="removed")

    def do_activate(self, request: HttpRequest, key: DkimKey) -> str:
        activate_key(key.pk)
        return f"Mail of {key.domain} is signed with {key.selector} from now on."

    def do_retire(self, request: HttpRequest, key: DkimKey) -> str:
        retire_key(key.pk)
        return f"{key.selector} signs no more. Leave its record in DNS for a week."

    @admin.display(description="Selector", ordering="selector")
    def name(self, key: DkimKey) -> str:
        return key.selector

    @admin.display(description="State", ordering="state")
    def state_badge(self, key: DkimKey) -> SafeString:
        return badge(key.state, TONES.get(key.state, "plain"))

    @admin.display(description="Record to publish")
    def record(self, key: DkimKey) -> SafeString:
        value = dkim_value(Key(key.selector, key.algorithm, key.public_key, key.state))
        return format_html('<code class="ms-value">{} TXT</code><br><code class="ms-value">{}</code>', key, value)
