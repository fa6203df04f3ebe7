from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.adminkit.fields import badge
from mailsuite.adminkit.scoping import ACT, VIEW, ScopedAdmin, ScopedFilter, Verb
from mailsuite.junk import services
from mailsuite.junk.models import Sender, WordTable
from mailsuite.junk.words import LEAST, SITE_LEAST

TONES = {"wanted": "good", "unwanted": "bad", "unknown": "plain"}


class WrittenToFilter(admin.SimpleListFilter):
    title, parameter_name = "what is known", "known"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("written", "written to"), ("junk", "more junk than wanted"), ("wanted", "more wanted than junk")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "written":
                return queryset.exclude(wrote_at=None)
            case "junk":
                return queryset.filter(junked__gt=F("wanted"))
            case "wanted":
                return queryset.filter(wanted__gt=F("junked"))
        return queryset


@admin.register(Sender)
class SenderAdmin(ScopedAdmin):
    """What mailboxes remember of senders. Sent Message-IDs are left out: nobody could read them."""

    intro = (
        "What mailboxes know of those who write to them, which decides before the words of a message do. It is "
        "learned from what owners write, keep and move to Junk."
    )
    scope = ("mailbox__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("key", "mailbox", "standing", "as_wanted", "as_junk", "wrote_at")
    list_filter = (WrittenToFilter, "rung", ("mailbox", ScopedFilter))
    list_select_related = ("mailbox",)
    search_fields = ("key", "mailbox__address")
    search_help_text = "A part of the sender's address or domain, or of the mailbox's address"
    ordering = ("-changed_at", "-id")
    fields = ("key", "rung", "mailbox", "standing", "wanted", "junked", "kept", "wrote_at", "judged_at", "changed_at")
    actions = ("forget",)
    verbs = (Verb("forget", "Forget this sender", "person_remove", "Forget what this mailbox knows of this sender?"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(rung=Sender.Rung.REPLY)

    @admin.action(description="Forget these senders")
    def forget(self, request: HttpRequest, queryset: QuerySet[Sender]) -> None:
        count = services.forget_senders(list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"{count} forgotten.")

    def do_forget(self, request: HttpRequest, row: Sender) -> str:
        services.forget_senders([row.pk])
        return f"{row.key} is forgotten in {row.mailbox}."

    @admin.display(description="Standing")
    def standing(self, row: Sender) -> SafeString:
        label = services.standing_of(row)
        return badge(label, TONES[label])

    @admin.display(description="Wanted", ordering="wanted")
    def as_wanted(self, row: Sender) -> int:
        return row.wanted

    @admin.display(description="Junk", ordering="junked")
    def as_junk(self, row: Sender) -> int:
        return row.junked


@admin.register(WordTable)
class WordTableAdmin(ScopedAdmin):
    """What the content filters have learned; the site's own is nobody's domain."""

    intro = "What was learned from junk and from wanted mail. A filter says nothing before it has seen enough of both."
    scope = ("mailbox__domain",)
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("whose", "wanted_count", "junk_count", "state", "changed_at")
    list_select_related = ("mailbox",)
    search_fields = ("mailbox__address",)
    ordering = ("-changed_at",)
    fields = ("whose", "wanted_count", "junk_count", "state", "changed_at")
    actions = ("forget",)
    verbs = (
        Verb(
            *("forget", "Forget what it learned", "ink_eraser"),
            "Forget all that this mailbox's filter has learned? It starts anew.",
            lambda row: row.mailbox_id is not None,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("counts")

    @admin.action(description="Forget what they learned")
    def forget(self, request: HttpRequest, queryset: QuerySet[WordTable]) -> None:
        count = sum(services.forget_words(row.pk) for row in queryset.exclude(mailbox=None))
        self.message_user(request, f"{count} start anew.")

    def do_forget(self, request: HttpRequest, row: WordTable) -> str:
        if row.mailbox_id is None:
            return "The site's filter is the sum of its mailboxes': forget what those have learned."
        services.forget_words(row.pk)
        return f"The filter of {row.mailbox} starts anew."

    @admin.display(description="Whose", ordering="mailbox__address")
    def whose(self, row: WordTable) -> str:
        return str(row)

    @admin.display(description="State")
    def state(self, row: WordTable) -> SafeString:
        least = SITE_LEAST if row.mailbox_id is None else LEAST
        text = services.says(row.wanted_count, row.junk_count, least)
        word, _, rest = text.partition(" ")
        if word != "neutral":
            return badge(text, "good")
        return format_html('{} <span class="ms-subtle">{}</span>', badge(word, "plain"), rest)
