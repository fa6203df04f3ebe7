"""The admin's pages of MTA-STS policies, of other hosts' that are known, and of DANE."""

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from mailsuite.adminkit.fields import as_lines, badge, moment
from mailsuite.adminkit.scoping import ACT, ADD, CHANGE, VIEW, ScopedAdmin, ScopedFilter, ServiceForm, Verb
from mailsuite.errors import ChangeRefused
from mailsuite.mailauth.mtasts import MAX_MAX_AGE, render_policy
from mailsuite.transport_security import schedule
from mailsuite.transport_security.keys import KeyProblem, read_keys
from mailsuite.transport_security.models import DAY_SECONDS, WEEK_SECONDS, DaneLook, KnownPolicy, MtaSts
from mailsuite.transport_security.publishing import own_policy, tlsa_records, why_no_tlsa
from mailsuite.transport_security.services import set_mta_sts, uncovered_names

# The web's few threads wait no longer for DNS; the periodic work has more time.
LOOK_SECONDS = 3.0
MODES = {"none": "plain", "testing": "waiting", "enforce": "good"}
STATES = {"good": "good", "missing": "plain", "mismatch": "bad", "insecure": "waiting", "unknown": "waiting"}


class DaysField(forms.DecimalField):
    """Seconds, written as days."""

    widget = UnfoldAdminDecimalFieldWidget

    def prepare_value(self, value: Any) -> Any:
        return f"{Decimal(value) / DAY_SECONDS:.5g}" if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        days = super().clean(value)
        return None if days is None else round(days * DAY_SECONDS)


class MtaStsForm(ServiceForm):
    max_age = DaysField(
        label="Days that senders remember it",
        min_value=1,
        max_value=MAX_MAX_AGE // DAY_SECONDS,
        initial=WEEK_SECONDS,
        help_text="So long a mistake lives on with those who saw it: a week is good to begin with, a month later.",
    )

    class Meta:
        model = MtaSts
        fields = ["domain", "mode", "max_age", "other_hosts"]


@admin.register(MtaSts)
class MtaStsAdmin(ScopedAdmin):
    """What senders must do about TLS with our domains. Domains that are not listed are in mode testing."""

    intro = (
        "What other hosts must do when they bring mail to a domain of yours: insist on encryption and a good "
        "certificate, or only report what fails. Domains that are not listed are in the mode testing."
    )
    form = MtaStsForm
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, CHANGE})
    list_display = ("domain", "mode_badge", "changed_at", "certificate")
    list_filter = ("mode", ("domain", ScopedFilter))
    search_fields = ("domain__name",)
    list_select_related = ("domain",)

    def get_fields(self, request: HttpRequest, obj: MtaSts | None = None) -> list[str]:
        fields = ["domain", "mode", "max_age", "other_hosts"]
        return [*fields, "served", "reachable"] if obj else fields

    def get_readonly_fields(self, request: HttpRequest, obj: MtaSts | None = None) -> tuple[str, ...]:
        return ("domain", "served", "reachable") if obj else ()

    def save_model(self, request: HttpRequest, obj: MtaSts, form: Any, change: bool) -> None:
        chosen = form.cleaned_data
        set_mta_sts(obj.domain, chosen["mode"], chosen["max_age"], chosen["other_hosts"])
        obj.pk = MtaSts.objects.get(domain=obj.domain).pk

    @admin.display(description="Mode", ordering="mode")
    def mode_badge(self, row: MtaSts) -> SafeString:
        return badge(row.mode, MODES.get(row.mode, "plain"))

    @admin.display(description="What is served")
    def served(self, row: MtaSts) -> SafeString | str:
        return as_lines(render_policy(own_policy(row.domain)).decode())

    @admin.display(description="Certificate")
    def certificate(self, row: MtaSts) -> SafeString:
        missing = uncovered_names([row.domain.name])
        return badge(f"lacks {missing[0]}", "bad") if missing else badge("good", "good")

    @admin.display(description="Certificate")
    def reachable(self, row: MtaSts) -> SafeString:
        """The same with what to do about it."""
        missing = uncovered_names([row.domain.name])
        if not missing:
            return self.certificate(row)
        return format_html(
            "{}<br>Other hosts fetch the policy from {}, under a certificate with that name. Publish "
            '<a class="ms-link" href="{}">the domain\'s records</a> for it, then get the certificate anew with the '
            "name added (certbot: -d {}; deploy/guide/certificates.md). Until then nobody sees the policy, "
            "whatever its mode.",
            self.certificate(row),
            missing[0],
            reverse("admin:directory_domain_records", args=[row.domain_id]),
            missing[0],
        )


@admin.register(KnownPolicy)
class KnownPolicyAdmin(ScopedAdmin):
    intro = (
        "What other domains ask of those who send to them. Mail to one that enforces its policy goes out under good "
        "TLS or waits. Policies are fetched and renewed by themselves; a failure is the other side's to mend."
    )
    superusers_may = frozenset({VIEW})
    list_display = ("domain", "asks", "fetched_at", "expires_at", "problem")
    search_fields = ("domain",)
    fields = ("domain", "asks", "policy_id", "served", "fetched_at", "expires_at", "tried_at", "failure")

    @admin.display(description="Asks for")
    def asks(self, row: KnownPolicy) -> SafeString:
        mode = next((line[5:].strip() for line in row.policy.splitlines() if line.startswith("mode:")), "")
        return badge(mode, MODES.get(mode, "plain")) if mode else badge("not known", "plain")

    @admin.display(description="Policy")
    def served(self, row: KnownPolicy) -> SafeString | str:
        return as_lines(row.policy)

    @admin.display(description="Failure", ordering="failure")
    def problem(self, row: KnownPolicy) -> SafeString:
        return format_html('<span class="ms-wrap">{}</span>', row.failure or "none")


@admin.register(DaneLook)
class DaneLookAdmin(ScopedAdmin):
    intro = (
        "DANE: TLSA records in signed DNS say which key this host has, and hosts that go by them deliver only to that "
        "key. Without such records nobody checks; with wrong ones mail stays away."
    )
    superusers_may = frozenset({VIEW, ACT})
    list_display = ("hostname", "state_badge", "looked_at", "validates")
    fields = ("hostname", "state_badge", "looked_at", "seen", "records", "validates", "resolver_text")
    verbs = (Verb("look", "Look again now", "refresh"),)

    def do_look(self, request: HttpRequest, look: DaneLook) -> str:
        try:
            read_keys(settings.MAILSUITE)
        except KeyProblem as problem:
            raise ChangeRefused(str(problem)) from None
        try:
            schedule.look_at_ourselves(timezone.now(), LOOK_SECONDS)
        except TimeoutError:
            raise ChangeRefused(
                f"DNS did not answer within {LOOK_SECONDS:g} seconds: below is what was seen before. It is asked again "
                "by itself every hour."
            ) from None
        look.refresh_from_db()
        return f"DNS was asked: {look.get_state_display()}."

    @admin.display(description="Records for this host's keys")
    def records(self, look: DaneLook) -> str:
        """What belongs into the zone of the host's name; records of keys that are gone have to go."""
        lines = [(record.zone_line,) for record in tlsa_records()]
        if not lines:
            return why_no_tlsa() or "The certificate can't be read."
        return format_html(
            "{}Publish these at the name and no other. Have renewals keep the key (certbot renew --reuse-key). "
            "Senders see a change once old answers have run out, in an hour or so.",
            format_html_join("", '<code class="ms-value">{}</code><br>', lines),
        )

    @admin.display(description="Outgoing mail")
    def validates(self, look: DaneLook) -> SafeString:
        return badge("DANE is used", "good") if look.resolver_validates else badge("DANE is off", "waiting")

    @admin.display(description="State", ordering="state")
    def state_badge(self, look: DaneLook) -> SafeString:
        return badge(look.get_state_display(), STATES.get(look.state, "plain"))

    @admin.display(description="Looked at", ordering="at")
    def looked_at(self, look: DaneLook) -> str:
        return moment(look.at)

    @admin.display(description="What was seen")
    def seen(self, look: DaneLook) -> str:
        return look.text
