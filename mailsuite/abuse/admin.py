import re
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from mailsuite.abuse import alarms, sending, services, suspension, telling
from mailsuite.abuse.models import Alarm, AlarmSettings, AllowedNetwork, Ban, SendingCap, SendingDay, SendingSettings
from mailsuite.adminkit.fields import badge, moment
from mailsuite.adminkit.scoping import ACT, ADD, CHANGE, DELETE, VIEW, ScopedAdmin, ServiceForm, SettingsAdmin, Verb
from mailsuite.directory.models import Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.queue.held_mail import held_mail


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
        row = services.ban(given["subject"], reason=Ban.Reason.BY_HAND, ends_at=given["ends_at"], note=note)
        obj.pk, obj.subject = row.pk, row.subject

    @admin.action(description="Lift")
    def lift(self, request: HttpRequest, queryset: QuerySet[Ban]) -> None:
        for ban in queryset:
            self.act(request, lambda ban=ban: self.do_lift(request, ban))  # type: ignore[misc]

    def do_lift(self, request: HttpRequest, ban: Ban) -> str:
        services.lift(ban.subject)
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
        services.allow(form.cleaned_data["network"], form.cleaned_data["note"])
        text = str(services.parse_network(form.cleaned_data["network"]))
        obj.pk = AllowedNetwork.objects.get(network=text).pk

    def delete_model(self, request: HttpRequest, obj: AllowedNetwork) -> None:
        services.disallow(obj.network)


@admin.register(SendingSettings)
class SendingSettingsAdmin(SettingsAdmin):
    superusers_may = frozenset({VIEW, CHANGE})
    fields = ("messages_a_day", "new_recipients_a_day")


@admin.register(SendingCap)
class SendingCapAdmin(ScopedAdmin):
    """Caps guard the whole site's name, so domain administrators may only see them."""

    intro = "Mailboxes with caps of their own in place of the site's, such as one that sends a newsletter."
    scope = ("mailbox__domain",)
    superusers_may = frozenset({VIEW, ADD, CHANGE, DELETE})
    domain_administrators_may = frozenset({VIEW})
    list_display = ("mailbox", "messages", "new_recipients")
    search_fields = ("mailbox__address",)
    autocomplete_fields = ("mailbox",)
    fields = ("mailbox", "messages_a_day", "new_recipients_a_day")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        helps = {
            "messages_a_day": "0 for no cap. Delete these caps, and the site's are in force again.",
            "new_recipients_a_day": "Addresses elsewhere that the mailbox never wrote to before; 0 for no cap.",
        }
        return super().get_form(request, obj, change=change, **kwargs | {"help_texts": helps})

    def get_queryset(self, request: HttpRequest) -> QuerySet[SendingCap]:
        return super().get_queryset(request).select_related("mailbox")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("mailbox",) if obj else ()

    @admin.display(description="Messages a day", ordering="messages_a_day")
    def messages(self, row: SendingCap) -> Any:
        return row.messages_a_day or "no cap"

    @admin.display(description="New recipients a day", ordering="new_recipients_a_day")
    def new_recipients(self, row: SendingCap) -> Any:
        return row.new_recipients_a_day or "no cap"


class AlarmSettingsForm(ServiceForm):
    class Meta:
        model = AlarmSettings
        fields = ["recipients"]

    def clean_recipients(self) -> str:
        """One address a line; people write commas as well."""
        words = re.split(r"[\s,;]+", self.cleaned_data["recipients"])
        try:
            return "\n".join(telling.checked(word) for word in words if word)
        except ChangeRefused as error:
            raise ValidationError(str(error)) from None


@admin.register(AlarmSettings)
class AlarmSettingsAdmin(SettingsAdmin):
    form = AlarmSettingsForm
    superusers_may = frozenset({VIEW, CHANGE, ACT})
    # Whoever changes it silences what would tell of them.
    asks_password = frozenset({CHANGE})
    fields = ("recipients", "told_now")
    readonly_fields = ("told_now",)
    verbs = (Verb("test", "Send a test alarm", "notifications_active"),)

    def save_model(self, request: HttpRequest, obj: AlarmSettings, form: Any, change: bool) -> None:
        telling.name(obj.recipients.split())

    def do_test(self, request: HttpRequest, row: AlarmSettings) -> str:
        to = ", ".join(telling.test(timezone.now()))
        return f"A test alarm goes to {to}. Its story, under Messages, tells whether it arrived."

    @admin.display(description="Told now")
    def told_now(self, row: AlarmSettings) -> SafeString:
        """Who that is, with the administrators of a domain in what is about it."""
        readers = telling.readers()
        if not readers:
            return format_html("{} Name somebody above: {}", badge("nobody", "bad"), telling.NOBODY)
        text = "Administrators of a domain are told of what is about it, too."
        return format_html('<span class="ms-lines">{}</span>{}', "\n".join(readers) + "\n", text)


class AlarmFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "all")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "not dismissed"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == "all" else queryset.filter(dismissed_at=None)


def _suspend(mailbox: Mailbox) -> str:
    count = suspension.suspend(mailbox.address)
    return format_html(
        "{} is suspended; messages held in the queue: {}. Mail to it is still taken.{} "
        '<a class="ms-link" href="{}">Its page</a> has what is left to do: set a new password, revoke its '
        "app passwords, resume it, and send or drop what is held.",
        mailbox,
        count,
        suspension.still_open(mailbox.pk),
        reverse("admin:directory_mailbox_change", args=[mailbox.pk]),
    )


SUSPEND = Verb(
    "suspend",
    "Suspend the mailbox",
    "pause",
    "Refuse its logins, end its sessions and hold its mail in the queue?",
    lambda row: row.mailbox.state == Mailbox.State.ACTIVE,
)


ADVICE: dict[str, str] = {
    Mailbox.State.ACTIVE: "If you know why, a newsletter say: dismiss the alarm, and send what is held from "
    '<a class="ms-link" href="{0}">the page of the mailbox</a>. If not, somebody else may know its password: suspend '
    "the mailbox; before you resume it, set a new password and revoke its app passwords, both on its page.",
    Mailbox.State.SUSPENDED: '<a class="ms-link" href="{0}">The page of the mailbox</a> has what is left to do: set a '
    "new password, revoke its app passwords (whoever knew the old password may have made one), resume the mailbox, and "
    "send or drop what is held.",
}


@admin.register(Alarm)
class AlarmAdmin(ScopedAdmin):
    """What a stolen password would look like, with the button that ends it."""

    intro = (
        "What a stolen password looks like. Open one to see what is held and to suspend the mailbox; dismiss it when "
        "you know why."
    )
    scope = ("mailbox__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("mailbox", "kind", "text", "raised_at", "state_badge")
    list_filter = (AlarmFilter, "kind")
    search_fields = ("mailbox__address",)
    ordering = ("-raised_at",)
    actions = ("dismiss",)
    verbs = (SUSPEND, Verb("dismiss", "Dismiss", "check", "", lambda row: row.dismissed_at is None))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alarm]:
        return super().get_queryset(request).select_related("mailbox")

    def get_fields(self, request: HttpRequest, obj: Alarm | None = None) -> list[str]:
        """With what was sent by now, where the alarm itself does not tell."""
        sent = ["sent"] if obj is not None and self.sent(obj) != obj.text else []
        return ["mailbox", "kind", "text", "raised_at", "state_badge", *sent, "held", "advice"]

    def do_suspend(self, request: HttpRequest, alarm: Alarm) -> str:
        return _suspend(alarm.mailbox)

    def do_dismiss(self, request: HttpRequest, alarm: Alarm) -> str:
        alarms.dismiss([alarm.pk])
        return "The alarm is dismissed. What the mailbox did that day counts as usual from now on."

    @admin.action(description="Dismiss: all is well")
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> None:
        count = alarms.dismiss(list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"Alarms dismissed: {count}.")

    @admin.display(description="State")
    def state_badge(self, alarm: Alarm) -> SafeString:
        if alarm.dismissed_at:
            return badge("dismissed", "plain")
        if alarm.mailbox.state != Mailbox.State.ACTIVE:
            return badge(f"mailbox {alarm.mailbox.state}", "waiting")
        return badge("look at it", "bad")

    @admin.display(description="Sent on that day")
    def sent(self, alarm: Alarm) -> str:
        row = SendingDay.objects.using("reader").filter(mailbox=alarm.mailbox, day=alarm.day).first()
        if row is None:
            return "nothing"
        return sending.caps_of([alarm.mailbox_id])[alarm.mailbox_id].tell(row.messages, row.new_recipients)

    @admin.display(description="Held in the queue")
    def held(self, alarm: Alarm) -> str:
        return held_mail(alarm.mailbox)

    @admin.display(description="What to do")
    def advice(self, alarm: Alarm) -> str:
        page = reverse("admin:directory_mailbox_change", args=[alarm.mailbox_id])
        return format_html(ADVICE.get(alarm.mailbox.state, "Nothing: the mailbox is gone."), page)


@admin.register(SendingDay)
class SendingDayAdmin(ScopedAdmin):
    """Who sent how much; a mailbox that sends what it should not is suspended from here."""

    intro = "How much each mailbox sent on each day (UTC), beside its caps as they are now."
    scope = ("mailbox__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("mailbox", "day", "sent", "sent_to", "state_badge")
    search_fields = ("mailbox__address",)
    ordering = ("-day", "-messages")
    fields = ("mailbox", "day", "sent", "sent_to", "state_badge")
    verbs = (SUSPEND,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SendingDay]:
        return sending.with_caps(super().get_queryset(request).select_related("mailbox"))

    def do_suspend(self, request: HttpRequest, row: SendingDay) -> str:
        return _suspend(row.mailbox)

    @admin.display(description="Messages", ordering="messages")
    def sent(self, row: Any) -> str:
        return sending.of_cap(row.messages, row.message_cap)

    @admin.display(description="New recipients", ordering="new_recipients")
    def sent_to(self, row: Any) -> str:
        return sending.of_cap(row.new_recipients, row.recipient_cap)

    @admin.display(description="State")
    def state_badge(self, row: Any) -> SafeString:
        if row.mailbox.state != Mailbox.State.ACTIVE:
            return badge(f"mailbox {row.mailbox.state}", "waiting")
        share = sending.Caps(row.message_cap, row.recipient_cap).share(row.messages, row.new_recipients)
        if share > 1:
            return badge("over its cap", "bad")
        return badge("near its cap", "waiting") if share >= sending.NEARLY else badge("within its caps", "good")
