from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from mailsuite.adminkit.fields import badge
from mailsuite.adminkit.parameters import WordFilter
from mailsuite.adminkit.scoping import (
    ACT,
    ADD,
    CHANGE,
    DELETE,
    VIEW,
    ScopedAdmin,
    ScopedFilter,
    SettingsAdmin,
    Verb,
    scope_of,
)
from mailsuite.errors import ChangeRefused
from mailsuite.mailauth.dnsbl import ListStatus
from mailsuite.screening import greylist, rules, services
from mailsuite.screening.models import DnsList, GreylistEntry, Rule, ScreeningSettings, SenderPause

ACTIONS = {"allow": "good", "junk": "waiting", "block": "bad"}
STATES = {"good": "good", "error": "bad", "untested": "waiting"}


@admin.register(Rule)
class RuleAdmin(ScopedAdmin):
    """Rules of the site are its superusers' alone; domain administrators write those of their domains and mailboxes."""

    intro = (
        "Whose mail is always taken, goes to Junk or is refused, before anything else is looked at: for the whole "
        "site, a domain or a mailbox. Owners write rules of their own at /rules."
    )
    scope = ("domain", "mailbox__domain")
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, CHANGE, DELETE})
    list_display = ("action_badge", "looks_at", "holds_for", "expires", "note")
    list_display_links = ("looks_at",)
    list_filter = ("action", "subject", ("domain", ScopedFilter))
    search_fields = ("value", "note", "mailbox__address")
    autocomplete_fields = ("domain", "mailbox")
    fields = (
        *("action", "subject", "value", "domain", "mailbox", "believes_unproven", "expires_at", "note"),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        return super().get_queryset(request).select_related("domain", "mailbox")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        fields = form.base_fields
        whole = "" if scope_of(request) is None else " One of them has to be named."
        texts = {
            "value": "ann@example.org, example.org or 192.0.2.0/24, by what it looks at.",
            "domain": f"Holds for this domain alone.{whole}",
            "mailbox": f"Holds for this mailbox alone.{whole}" if whole else "Leave both empty for the whole site.",
        }
        for name, text in texts.items():
            if name in fields:
                fields[name].help_text = text
        return form

    def save_model(self, request: HttpRequest, obj: Rule, form: Any, change: bool) -> None:
        if scope_of(request) is not None and not (obj.domain_id or obj.mailbox_id):
            raise ChangeRefused(
                "A rule for the whole site is its administrators' to write: name a domain or a mailbox."
            )
        rules.save_rule(obj)

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        rules.remove_rules([obj.pk])

    @admin.display(description="Does", ordering="action")
    def action_badge(self, rule: Rule) -> SafeString:
        return badge(rule.action, ACTIONS[rule.action])

    @admin.display(description="Looks at", ordering="value")
    def looks_at(self, rule: Rule) -> str:
        return rules.looks_at(rule.subject, rule.value)

    @admin.display(description="Holds for")
    def holds_for(self, rule: Rule) -> str:
        return str(rule.mailbox or rule.domain or "the whole site")

    @admin.display(description="Until", ordering="expires_at")
    def expires(self, rule: Rule) -> SafeString | str:
        if rule.expires_at is None:
            return "for good"
        if rule.expires_at <= timezone.now():
            return badge("expired", "waiting")
        return f"{rule.expires_at:%Y-%m-%d %H:%M} UTC"


@admin.register(DnsList)
class DnsListAdmin(ScopedAdmin):
    intro = (
        "Lists of networks and domains that others keep, asked over DNS about each message. None is asked until "
        "you add it; one that answers nonsense is switched off."
    )
    superusers_may = frozenset({VIEW, ADD, CHANGE, DELETE, ACT})
    list_display = ("name", "kind_badge", "weight", "families", "state_badge", "tested_at")
    list_filter = ("is_active", "state", "kind")
    search_fields = ("name", "zone", "note")
    fields = (
        *("name", "zone", "kind", "weight", "asks_ipv4", "asks_ipv6", "is_active", "note"),
        *("state_badge", "last_error", "tested_at"),
    )
    readonly_fields = ("state_badge", "last_error", "tested_at")
    verbs = (Verb("test", "Test now", "rule"),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "zone" in form.base_fields:
            form.base_fields["zone"].help_text = "Such as zen.spamhaus.org; with your key in front where there is one."
        return form

    def save_model(self, request: HttpRequest, obj: DnsList, form: Any, change: bool) -> None:
        services.save_list(obj)
        if obj.is_active and obj.state != DnsList.State.GOOD:
            messages.info(request, f"{obj} is asked from now on. “Test now” tells whether it answers you.")

    def delete_model(self, request: HttpRequest, obj: DnsList) -> None:
        services.remove_list(obj)

    def do_test(self, request: HttpRequest, row: DnsList) -> str:
        outcome = services.test_list(row)
        if outcome.status is ListStatus.CLEAR:
            return f"{row} is in order: it lists its test entry, and not what must never be listed."
        if outcome.status is ListStatus.TEMPERROR:
            raise ChangeRefused(f"{row} can't be tested now: {outcome.reason}.")
        raise ChangeRefused(f"{row} is switched off: {outcome.reason}.")

    @admin.display(description="Kind", ordering="kind")
    def kind_badge(self, row: DnsList) -> SafeString:
        return badge(row.kind, "bad" if row.kind == DnsList.Kind.BLOCK else "good")

    @admin.display(description="Knows")
    def families(self, row: DnsList) -> str:
        return " and ".join(name for name, knows in (("IPv4", row.asks_ipv4), ("IPv6", row.asks_ipv6)) if knows)

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: DnsList) -> SafeString:
        if not row.is_active:
            return badge("not in use", "plain")
        if row.state == DnsList.State.ERROR:
            return badge("switched off: out of order", "bad")
        return badge("asked" if row.state == DnsList.State.GOOD else "asked, not tested yet", STATES[row.state])


@admin.register(ScreeningSettings)
class ScreeningSettingsAdmin(SettingsAdmin):
    superusers_may = frozenset({VIEW, CHANGE})
    fieldsets = (
        ("Weights", {"fields": ("junk_score", "reject_score")}),
        ("Greylisting", {"fields": ("greylists_doubtful", "greylist_minutes")}),
        ("Senders who write for the first time", {"fields": ("first_sender_pause_minutes",)}),
    )

    def save_model(self, request: HttpRequest, obj: ScreeningSettings, form: Any, change: bool) -> None:
        services.save_settings(obj)


@admin.register(SenderPause)
class SenderPauseAdmin(ScopedAdmin):
    intro = (
        "Mailboxes where who writes for the first time is asked to come again some minutes later; much junk never does."
    )
    scope = ("mailbox__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ADD, CHANGE, DELETE})
    list_display = ("mailbox", "minutes")
    search_fields = ("mailbox__address",)
    autocomplete_fields = ("mailbox",)
    fields = ("mailbox", "minutes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SenderPause]:
        return super().get_queryset(request).select_related("mailbox")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("mailbox",) if obj else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "minutes":
            field.help_text = "How long strangers wait before their first message gets through. 0 for not at all."
        return field

    def save_model(self, request: HttpRequest, obj: SenderPause, form: Any, change: bool) -> None:
        services.save_pause(obj)

    def delete_model(self, request: HttpRequest, obj: SenderPause) -> None:
        services.remove_pause(obj)


class KindFilter(WordFilter):
    title = parameter_name = "kind"
    words = (greylist.GREYLISTED, greylist.FIRST_TIME)


@admin.register(GreylistEntry)
class GreylistEntryAdmin(ScopedAdmin):
    intro = (
        "Senders with something odd about them who were asked to come again. Mail hosts do so by themselves; let "
        "one pass that a person waits for."
    )
    superusers_may = frozenset({VIEW, ACT})
    list_display = ("first_seen_at", "network", "sender", "recipient", "state_badge", "doubts")
    list_filter = (KindFilter,)
    search_fields = ("network", "reverse_path", "recipient")
    fields = (
        *("kind", "network", "sender", "recipient", "doubts"),
        *("first_seen_at", "last_seen_at", "passed_at", "state_badge"),
    )
    actions = ("let_pass",)
    verbs = (Verb("let_pass", "Let pass", "done", "", lambda row: row.passed_at is None),)

    def do_let_pass(self, request: HttpRequest, row: GreylistEntry) -> str:
        greylist.let_pass([row.pk], timezone.now())
        return f"{row} passes the next time."

    @admin.action(description="Let pass")
    def let_pass(self, request: HttpRequest, queryset: QuerySet[GreylistEntry]) -> None:
        count = greylist.let_pass(list(queryset.values_list("pk", flat=True)), timezone.now())
        self.message_user(request, f"{count} pass the next time.")

    @admin.display(description="Sender", ordering="reverse_path")
    def sender(self, row: GreylistEntry) -> str:
        return row.reverse_path or "<>"

    @admin.display(description="State", ordering="passed_at")
    def state_badge(self, row: GreylistEntry) -> SafeString:
        return badge("has come again", "good") if row.passed_at else badge("asked to come again", "waiting")
