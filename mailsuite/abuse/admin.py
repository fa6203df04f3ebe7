"""The admin's pages of alarms and of how much mailboxes may send."""

import re
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.abuse import alarms, sending, telling
from mailsuite.abuse.models import Alarm, AlarmSettings, SendingCap, SendingDay, SendingSettings
from mailsuite.adminkit.fields import badge
from mailsuite.adminkit.scoping import ACT, ADD, CHANGE, DELETE, VIEW, ScopedAdmin, ServiceForm, SettingsAdmin, Verb
from mailsuite.directory.models import Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import suspension
from mailsuite.queue.held_mail import held_mail


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
