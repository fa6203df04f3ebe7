from collections.abc import Callable, Sequence
from functools import partial
from textwrap import shorten
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.adminkit.addresses import address_in_list
from mailsuite.adminkit.fields import as_lines, badge, password_field
from mailsuite.adminkit.parameters import WordFilter
from mailsuite.adminkit.scoping import (
    ACT,
    ADD,
    CHANGE,
    DELETE,
    VIEW,
    ScopedAdmin,
    ScopedFilter,
    ScopedInline,
    ServiceForm,
    Verb,
)
from mailsuite.mail.known_replies import known
from mailsuite.queue import groups, routes, services
from mailsuite.queue.claims import ABANDONED, DELAYED
from mailsuite.queue.group_view import group_view
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient, Route

TONES = {"queued": "plain", "delivered": "good", "relayed": "good", "failed": "bad", "dropped": "waiting"}
OPEN = Q(recipients__settled_at=None)
# As much of a sentence stands in the list.
BRIEF = 110


class RecipientInline(ScopedInline):
    model = QueuedRecipient
    hide_title = True
    superusers_may = domain_administrators_may = frozenset({VIEW})
    fields = readonly_fields = (
        *("forward_path", "state_badge", "attempt_count", "next_attempt_at", "meaning", "last_reply", "tls"),
    )
    verbose_name_plural = "recipients"

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueuedRecipient]:
        last = DeliveryAttempt.objects.filter(recipient=OuterRef("pk")).exclude(remote_host="").order_by("-started_at")
        recipients: QuerySet[QueuedRecipient] = super().get_queryset(request)
        return recipients.annotate(last_tls=Subquery(last.values("tls")[:1]))

    @admin.display(description="TLS")
    def tls(self, recipient: Any) -> str:
        """Of the last attempt that reached a host: what kept others from listening, and who it was proved to be."""
        if recipient.last_tls == "":
            return "none: in clear text" if recipient.state in ("delivered", "relayed") else "none"
        return recipient.last_tls or "-"

    @admin.display(description="Why")
    def meaning(self, recipient: QueuedRecipient) -> SafeString:
        return format_html('<span class="ms-wrap">{}</span>', groups.why(recipient) if recipient.last_reply else "-")

    @admin.display(description="State")
    def state_badge(self, recipient: QueuedRecipient) -> SafeString:
        return badge(recipient.state, TONES.get(recipient.state, "plain"))


class SettledFilter(admin.SimpleListFilter):
    """Shows what still waits unless asked for the rest."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("held", "held"), ("settled", "done"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "waiting"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "held":
                return queryset.filter(settled_at=None).exclude(held_at=None)
            case "settled":
                return queryset.exclude(settled_at=None)
            case "all":
                return queryset
        return queryset.filter(settled_at=None)


class QueueFilter(admin.SimpleListFilter):
    """One by a column of the recipients that wait, which offers those of the largest groups."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        waiting = model_admin.waiting(request).groups
        found = dict.fromkeys(getattr(group, str(self.parameter_name)) for group in waiting)
        asked = request.GET.get(str(self.parameter_name), "")
        return [(one, one) for one in (found | {asked: None}) if one]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        rows = QueuedRecipient.objects.filter(**{str(self.parameter_name): self.value()}, settled_at=None)
        return queryset.filter(pk__in=rows.values("message"))


class DestinationFilter(QueueFilter):
    title = parameter_name = "destination"


class CauseFilter(QueueFilter):
    title = parameter_name = "cause"


def _open(message: QueuedMessage) -> bool:
    return message.settled_at is None


@admin.register(QueuedMessage)
class QueuedMessageAdmin(ScopedAdmin):
    """What is on its way out. Nothing is edited; the buttons and actions are the queue's services."""

    intro = (
        "Mail on its way to other hosts. What waits is tried again by itself, for five days; what is held goes on when "
        "you release it, and its sender hears nothing until then. What comes to postmaster@ and abuse@ while nobody "
        "reads them is kept here too."
    )
    scope = ("domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_before_template = "admin/queue.html"
    list_display = ("to", "state_badge", "sender_in_list", "why", "next_try", "queue_id")
    list_filter = (SettledFilter, DestinationFilter, CauseFilter, ("domain", ScopedFilter))
    search_fields = ("reverse_path", "recipients__forward_path", "recipients__destination")
    ordering = ("-id",)
    inlines = (RecipientInline,)
    actions = ("retry", "hold", "release", "fail", "drop")
    verbs: Sequence[Verb] = (
        Verb("retry", "Retry now", "refresh", "", _open),
        Verb("hold", "Hold", "pause", "", lambda m: _open(m) and m.held_at is None),
        Verb(
            *("release", "Release", "play_arrow", "", lambda m: _open(m) and m.held_at is not None),
            asks_password=True,
        ),
        Verb(
            *("fail", "Fail with bounce", "undo", "Give up on all recipients and tell the sender?", _open),
            asks_password=True,
        ),
        Verb(
            *("drop", "Drop", "delete", "Give up on all recipients without telling anybody?", _open),
            asks_password=True,
        ),
    )

    def get_fields(self, request: HttpRequest, obj: QueuedMessage | None = None) -> list[str]:
        held = ["hold_reason"] if obj is not None and obj.held_at else []
        return ["queue_id", "sender", "subject", "size", "created_at", "expires_at", "state_badge", *held, "story"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueuedMessage]:
        rows = super().get_queryset(request).select_related("content")
        rows = rows.defer(
            "content__body_structure", "content__body", "content__parts", "content__header", "content__envelope"
        )
        return rows.annotate(  # type: ignore[no-any-return]
            recipient_total=Count("recipients"),
            first_recipient=Min("recipients__forward_path"),
            due_at=Min("recipients__next_attempt_at", filter=OPEN),
            last_open=Max("recipients__pk", filter=OPEN),
        )

    def waiting(self, request: HttpRequest) -> groups.Waiting:
        """What waits, by destination and cause; read once for a page."""
        if not hasattr(request, "queue_waiting"):
            messages = self.in_scope(request, QueuedMessage.objects.all())
            request.queue_waiting = groups.waiting(messages)  # type: ignore[attr-defined]
        return request.queue_waiting  # type: ignore[attr-defined,no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if self.has_view_permission(request):
            self.waiting(request)
            request.queue_may_act = self.allows(request, ACT)  # type: ignore[attr-defined]
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        class QueueList(super().get_changelist(request, **kwargs)):  # type: ignore[misc]
            """A page of messages, each with one recipient that waits."""

            def get_results(self, request: HttpRequest) -> None:
                super().get_results(request)
                self.result_list: list[Any] = list(self.result_list)
                rows = QueuedRecipient.objects.in_bulk([one.last_open for one in self.result_list if one.last_open])
                for message in self.result_list:
                    message.waits = rows.get(message.last_open)

        return QueueList

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(partial(group_view, self))
        return [path("group/<slug:verb>/", view, name="queue_queuedmessage_group"), *super().get_urls()]

    def do_retry(self, request: HttpRequest, message: QueuedMessage) -> str:
        services.retry([message.pk])
        return f"{message} is tried again now."

    def do_hold(self, request: HttpRequest, message: QueuedMessage) -> str:
        services.hold([message.pk], f"by {request.user}")
        return f"{message} is held."

    def do_release(self, request: HttpRequest, message: QueuedMessage) -> str:
        services.release([message.pk])
        return f"{message} goes on."

    def do_fail(self, request: HttpRequest, message: QueuedMessage) -> str:
        services.fail([message.pk], str(request.user))
        return f"{message} has failed; its sender is told."

    def do_drop(self, request: HttpRequest, message: QueuedMessage) -> str:
        services.drop([message.pk], str(request.user))
        return f"{message} is dropped."

    @admin.action(description="Retry now")
    def retry(self, request: HttpRequest, queryset: QuerySet[QueuedMessage]) -> None:
        self._each(request, queryset, self.do_retry)

    @admin.action(description="Hold")
    def hold(self, request: HttpRequest, queryset: QuerySet[QueuedMessage]) -> None:
        self._each(request, queryset, self.do_hold)

    @admin.action(description="Release")
    def release(self, request: HttpRequest, queryset: QuerySet[QueuedMessage]) -> None:
        self._each(request, queryset, self.do_release)

    @admin.action(description="Fail with bounce")
    def fail(self, request: HttpRequest, queryset: QuerySet[QueuedMessage]) -> None:
        self._each(request, queryset, self.do_fail)

    @admin.action(description="Drop without bounce")
    def drop(self, request: HttpRequest, queryset: QuerySet[QueuedMessage]) -> None:
        self._each(request, queryset, self.do_drop)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[QueuedMessage],
        do: Callable[[HttpRequest, QueuedMessage], str],
    ) -> None:
        """Does it to what still waits, one after the other, so that one that is refused stops no other."""
        for message in queryset.filter(settled_at=None):
            self.act(request, lambda message=message: do(request, message))  # type: ignore[misc]

    @admin.display(description="Queue id", ordering="id")
    def queue_id(self, message: QueuedMessage) -> SafeString:
        return format_html('<code class="ms-id">{}</code>', message.reference)

    @admin.display(description="Sender", ordering="reverse_path")
    def sender_in_list(self, message: QueuedMessage) -> SafeString:
        return address_in_list(self.sender(message))

    @admin.display(description="Sender")
    def sender(self, message: QueuedMessage) -> str:
        return message.reverse_path or "<>"

    @admin.display(description="To")
    def to(self, message: Any) -> SafeString:
        more = message.recipient_total - 1
        return address_in_list(message.first_recipient or "", f" and {more} more" if more > 0 else "")

    @admin.display(description="Subject")
    def subject(self, message: QueuedMessage) -> str:
        return message.content.subject

    @admin.display(description="Size")
    def size(self, message: QueuedMessage) -> str:
        return filesizeformat(message.size_octets)

    @admin.display(description="State")
    def state_badge(self, message: QueuedMessage) -> SafeString:
        if message.settled_at:
            return badge("done", "plain")
        if message.held_at:
            return badge("held", "waiting")
        return badge("waiting", "plain")

    @admin.display(description="Next try", ordering="due_at")
    def next_try(self, message: Any) -> Any:
        if message.held_at and not message.settled_at:
            return "when released"
        if message.settled_at or message.due_at is None:
            return ""
        return "now" if message.due_at <= timezone.now() else message.due_at

    @admin.display(description="Why")
    def why(self, message: Any) -> SafeString:
        """Of one recipient that waits; the message's page has all of them."""
        if message.held_at and not message.settled_at:
            return format_html('<span class="ms-wrap">{}</span>', message.hold_reason)
        if message.waits is None:
            return SafeString("")
        text, word = shorten(groups.why(message.waits), BRIEF, placeholder=" …"), message.waits.cause
        return format_html('<span class="ms-wrap">{} <span class="ms-subtle">{}</span></span>', text, word)

    @admin.display(description="Story")
    def story(self, message: QueuedMessage) -> SafeString | str:
        if message.story_id is None:
            return "forgotten"
        url = reverse("admin:trace_story_change", args=[message.story_id])
        return format_html('<a class="ms-link" href="{}">the whole way of this message</a>', url)


class OutcomeFilter(WordFilter):
    title = parameter_name = "outcome"
    words = ("delivered", "relayed", "failed", DELAYED, ABANDONED)


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(ScopedAdmin):
    intro = "Each time that mail was offered to another host, for each recipient, and what the host said."
    scope = ("recipient__message__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW})
    list_display = ("started_at", "recipient", "remote_host", "outcome_badge", "code", "reply_text")
    list_filter = (OutcomeFilter,)
    search_fields = ("recipient__forward_path", "remote_host")
    ordering = ("-started_at",)
    fields = (
        *("recipient", "started_at", "ended_at", "remote_host", "remote_address", "tls", "outcome_badge"),
        *("code", "enhanced_code", "reply", "meaning", "said"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeliveryAttempt]:
        return super().get_queryset(request).select_related("recipient")

    @admin.display(description="Outcome", ordering="outcome")
    def outcome_badge(self, attempt: DeliveryAttempt) -> SafeString:
        return badge(attempt.outcome or "under way", TONES.get(attempt.outcome, "waiting"))

    @admin.display(description="What was said")
    def said(self, attempt: DeliveryAttempt) -> SafeString | str:
        return as_lines(attempt.dialog)

    @admin.display(description="What it means")
    def meaning(self, attempt: DeliveryAttempt) -> str:
        found = known(attempt.reply)
        return f"{attempt.remote_host} {found.meaning}. {found.advice}" if found else "-"

    @admin.display(description="Reply")
    def reply_text(self, attempt: DeliveryAttempt) -> str:
        return attempt.reply[:100]


class RouteForm(ServiceForm):
    new_password = password_field("Kept encrypted. Leave empty to keep what is set.")

    class Meta:
        model = Route
        fields = ["pattern", "scheme", "host", "port", "username", "is_active"]
        help_texts = {
            "pattern": "example.org, *.example.org or * for everything.",
            "scheme": "The last two check the host's certificate. With a user name that is done whatever is chosen, "
            "since a password goes to nobody who can't prove to be the host; until they can, mail waits.",
            "host": "As its certificate names it, such as smtp.example.net.",
            "username": "Empty if the host asks for none.",
        }

    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if data and data.get("new_password") and not data.get("username"):
            raise forms.ValidationError("A password needs a user name.")
        return data


@admin.register(Route)
class RouteAdmin(ScopedAdmin):
    intro = (
        "Hosts that take mail for some domains, or for all, in place of those that DNS names: a provider's smarthost, "
        "or a machine inside. Without routes mail goes where DNS says."
    )
    form = RouteForm
    # Whoever changes a route can have all mail, and a password, sent where they like.
    asks_password = frozenset({ADD, CHANGE, DELETE})
    list_display = ("pattern", "host", "port", "scheme", "username", "state_badge")
    search_fields = ("pattern", "host")

    def get_fields(self, request: HttpRequest, obj: Route | None = None) -> list[str]:
        return ["pattern", "scheme", "host", "port", "username", "new_password", "is_active"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        fields = ["pattern", "scheme", "host", "port", "username", "is_active"]
        return super().get_form(request, obj, change=change, **kwargs | {"fields": fields})

    def save_model(self, request: HttpRequest, obj: Route, form: Any, change: bool) -> None:
        routes.save_route(obj, form.cleaned_data["new_password"] or None)

    def delete_model(self, request: HttpRequest, obj: Route) -> None:
        routes.remove_route(obj.pattern)

    @admin.display(description="State", ordering="is_active")
    def state_badge(self, route: Route) -> SafeString:
        return badge("on", "good") if route.is_active else badge("off", "waiting")
