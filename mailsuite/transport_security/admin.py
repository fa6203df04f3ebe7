from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import localize
from django.utils.safestring import SafeString

from mailsuite.directory.admin.fields import badge
from mailsuite.directory.scoping import ADD, CHANGE, VIEW, ScopedAdmin, ScopedFilter
from mailsuite.mailauth.mtasts import render_policy
from mailsuite.transport_security.models import DaneLook, KnownPolicy, MtaSts
from mailsuite.transport_security.publishing import own_policy
from mailsuite.transport_security.services import set_mta_sts, uncovered_names

MODES = {"none": "plain", "testing": "waiting", "enforce": "good"}
STATES = {"good": "good", "missing": "plain", "mismatch": "bad", "insecure": "waiting", "unknown": "waiting"}


@admin.register(MtaSts)
class MtaStsAdmin(ScopedAdmin):
    """What senders must do about TLS with our domains. Domains that are not listed are in mode testing."""

    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, CHANGE})
    list_display = ("domain", "mode_badge", "changed_at", "certificate")
    list_filter = ("mode", ("domain", ScopedFilter))
    search_fields = ("domain__name",)
    list_select_related = ("domain",)

    def get_fields(self, request: HttpRequest, obj: MtaSts | None = None) -> list[str]:
        fields = ["domain", "mode", "max_age", "other_hosts"]
        return [*fields, "served", "certificate"] if obj else fields

    def get_readonly_fields(self, request: HttpRequest, obj: MtaSts | None = None) -> tuple[str, ...]:
        return ("domain", "served", "certificate") if obj else ()

    def save_model(self, request: HttpRequest, obj: MtaSts, form: Any, change: bool) -> None:
        chosen = form.cleaned_data
        set_mta_sts(obj.domain, chosen["mode"], chosen["max_age"], chosen["other_hosts"])
        obj.pk = MtaSts.objects.get(domain=obj.domain).pk

    @admin.display(description="Mode", ordering="mode")
    def mode_badge(self, row: MtaSts) -> SafeString:
        return badge(row.mode, MODES.get(row.mode, "plain"))

    @admin.display(description="What is served")
    def served(self, row: MtaSts) -> str:
        return render_policy(own_policy(row.domain)).decode()

    @admin.display(description="Certificate")
    def certificate(self, row: MtaSts) -> SafeString:
        missing = uncovered_names([row.domain.name])
        return badge(f"lacks {missing[0]}", "bad") if missing else badge("good", "good")


@admin.register(KnownPolicy)
class KnownPolicyAdmin(ScopedAdmin):
    superusers_may = frozenset({VIEW})
    list_display = ("domain", "fetched_at", "expires_at", "failure")
    search_fields = ("domain",)
    fields = ("domain", "policy_id", "policy", "fetched_at", "expires_at", "tried_at", "failure")


@admin.register(DaneLook)
class DaneLookAdmin(ScopedAdmin):
    superusers_may = frozenset({VIEW})
    list_display = ("hostname", "state_badge", "looked_at", "seen", "resolver_validates")
    fields = ("hostname", "state_badge", "looked_at", "seen", "resolver_validates", "resolver_text")

    @admin.display(description="State", ordering="state")
    def state_badge(self, look: DaneLook) -> SafeString:
        return badge(look.get_state_display(), STATES.get(look.state, "plain"))

    @admin.display(description="Looked at", ordering="at")
    def looked_at(self, look: DaneLook) -> str:
        return localize(timezone.localtime(look.at))

    @admin.display(description="What was seen")
    def seen(self, look: DaneLook) -> str:
        return look.text
