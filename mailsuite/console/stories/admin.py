"""The admin's pages of messages: the list of stories, and each one's whole way with the buttons for it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from textwrap import shorten
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.adminkit.addresses import address_in_list, shorten_address
from mailsuite.adminkit.fields import badge, moment
from mailsuite.adminkit.scoping import ACT, VIEW, ScopedAdmin, Verb, scope_of
from mailsuite.console.stories import deeds, search, timeline
from mailsuite.console.stories.badges import first_recipient, shares_as_badges
from mailsuite.console.stories.findings import findings
from mailsuite.directory import history
from mailsuite.directory.models import Domain
from mailsuite.errors import ChangeRefused
from mailsuite.queue import services as queue
from mailsuite.queue.models import QueuedMessage
from mailsuite.trace import fates
from mailsuite.trace.models import Story, StoryRecipient
from mailsuite.trace.sentences import WORDLESS
from mailsuite.trace.visibility import Scope, visible

# So many domains are offered to filter by, and so many days.
DOMAINS, DAYS = 50, 7
# As much of a sentence stands in the list.
BRIEF = 110


class NewestPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than MOST: nobody turns to a later page, and counting a million takes longer than finding."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        """How many rows there are, MOST at most."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.MOST].count())


class StoryFilter(admin.SimpleListFilter):
    """One that finds stories by what the person may know of them."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Story]) -> QuerySet[Story]:
        value = self.value()
        return self.found(queryset, value, scope_of(request)) if value else queryset

    def found(self, stories: QuerySet[Story], value: str, scope: Scope) -> QuerySet[Story]:
        raise NotImplementedError


class FateFilter(StoryFilter):
    title, parameter_name = "what it became", "fate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in StoryRecipient.Fate.choices]

    def found(self, stories: QuerySet[Story], value: str, scope: Scope) -> QuerySet[Story]:
        return fates.with_fate(stories, value, scope)


class ReasonFilter(StoryFilter):
    """The reasons of late; an address may name any other."""

    title = parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        reasons = fates.reasons(scope_of(request))
        asked = request.GET.get("reason", "")
        return [(one, one) for one in (reasons if asked in reasons or not asked else [*reasons, asked])]

    def found(self, stories: QuerySet[Story], value: str, scope: Scope) -> QuerySet[Story]:
        return fates.with_reason(stories, value, scope)


class DomainFilter(StoryFilter):
    """By a hosted domain that it came from or went to."""

    title = parameter_name = "domain"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = model_admin.visible(request, Domain).order_by("name").values_list("name", flat=True)
        return [(name, name) for name in names[:DOMAINS]]

    def found(self, stories: QuerySet[Story], value: str, scope: Scope) -> QuerySet[Story]:
        return search.with_domain(stories, value, scope)


class DayFilter(StoryFilter):
    title = parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        today = timezone.now().date()
        days = [today - timedelta(days=back) for back in range(DAYS)]
        names = {today: "today", today - timedelta(days=1): "yesterday"}
        found = [(f"{day}", names.get(day, f"{day:%A, %-d %B}")) for day in days]
        asked = request.GET.get("day", "")
        return found if search.day_of(asked) is None or asked in dict(found) else [*found, (asked, asked)]

    def found(self, stories: QuerySet[Story], value: str, scope: Scope) -> QuerySet[Story]:
        day: date | None = search.day_of(value)
        return search.on_day(stories, day) if day else stories.none()


@admin.register(Story)
class StoryAdmin(ScopedAdmin):
    """Nothing is edited, since what happened, happened; the buttons are what is done about it."""

    intro = (
        "Each message that came, went or was refused, and what became of it. Open one for its whole way, and for what "
        "you can do about it. Senders of refused mail were told why."
    )
    superusers_may = domain_administrators_may = frozenset({VIEW, ACT})
    list_display = ("subject_text", "became", "sender", "to", "why", "when")
    list_filter = (FateFilter, ReasonFilter, DomainFilter, DayFilter, "kind")
    # Words are looked up by mailsuite.console.stories.search; the field only makes the search box appear.
    search_fields = ("message_id",)
    search_help_text = "Queue id, address, Message-ID, day (2026-11-23), domain, refused, or a part of the subject"
    ordering = ("-id",)
    show_full_result_count = False
    paginator = NewestPaginator
    change_form_outer_before_template = "admin/story.html"
    verbs: Sequence[Verb] = (
        Verb("not_junk", "Not junk", "inbox"),
        Verb("release", "Release", "play_arrow", asks_password=True),
        Verb("retry", "Try again now", "refresh"),
        Verb("allow", "Always allow the sender", "thumb_up"),
        Verb("block", "Block the sender", "block"),
    )

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return visible(rows, scope_of(request))

    def get_fieldsets(self, request: HttpRequest, obj: Story | None = None) -> list[Any]:
        """None: the template above them tells it all."""
        return []

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        scope = scope_of(request)

        class StoryList(super().get_changelist(request, **kwargs)):  # type: ignore[misc]
            """A page of stories, each with what became of it."""

            def get_results(self, request: HttpRequest) -> None:
                super().get_results(request)
                self.result_list: list[Any] = list(self.result_list)
                shares = fates.of_stories(self.result_list, scope)
                for story in self.result_list:
                    story.shares = shares.get(story.pk, [])

        return StoryList

    def search(self, request: HttpRequest, rows: QuerySet[Story], words: str) -> tuple[QuerySet[Story], bool]:
        return (search.matching(rows, words, scope_of(request)) if words else rows), False

    def changeform_view(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        story = self.find(request, object_id) if object_id else None
        if story is not None:
            request.story = story  # type: ignore[attr-defined]
            request.story_client = (  # type: ignore[attr-defined]
                story.client_address if timeline.knows_client(story, scope_of(request)) else ""
            )
            request.story_answers = fates.answers(story, scope_of(request))  # type: ignore[attr-defined]
            request.story_origin = timeline.origin(story)  # type: ignore[attr-defined]
            request.story_about = timeline.about(story, scope_of(request))  # type: ignore[attr-defined]
            request.story_lines = timeline.tell(story, scope_of(request))  # type: ignore[attr-defined]
            request.story_queued = self._queued(request, story)[:2]  # type: ignore[attr-defined]
            request.story_findings = findings(story, scope_of(request))  # type: ignore[attr-defined]
            request.story_header = timeline.header(story)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kwargs)

    def do_not_junk(self, request: HttpRequest, story: Story) -> str:
        """The button: out of Junk."""
        return deeds.not_junk(story, scope_of(request), str(request.user))

    def do_allow(self, request: HttpRequest, story: Story) -> str:
        """The button: a rule that takes the sender's mail."""
        return deeds.say(story, "allow", scope_of(request), str(request.user))

    def do_block(self, request: HttpRequest, story: Story) -> str:
        """The button: a rule that refuses the sender's mail."""
        return deeds.say(story, "block", scope_of(request), str(request.user))

    def do_release(self, request: HttpRequest, story: Story) -> str:
        """The button: what is held goes on."""
        held = [message for message in self._waiting(request, story) if message.held_at]
        if not held:
            raise ChangeRefused("It is not held any more.")
        queue.release([message.pk for message in held])
        history.note_all(held, "Released, from its story.", str(request.user))
        return "It goes on."

    def do_retry(self, request: HttpRequest, story: Story) -> str:
        """The button: what waits is tried now."""
        waiting = self._waiting(request, story)
        queue.retry([message.pk for message in waiting])
        history.note_all(waiting, "Tried again, from its story.", str(request.user))
        return "It is tried again now: what comes of it stands here in a moment."

    def _waiting(self, request: HttpRequest, story: Story) -> list[QueuedMessage]:
        found = self._queued(request, story)
        if not found:
            raise ChangeRefused("Nothing of it waits any more.")
        return found

    def _queued(self, request: HttpRequest, story: Story) -> list[QueuedMessage]:
        return deeds.queued(story, scope_of(request), self.visible(request, QueuedMessage))

    def _verbs(self, request: HttpRequest, object_id: Any) -> list[tuple[Verb, str]]:
        """Those that fit what became of it, for the recipients that the person may know of."""
        found = super()._verbs(request, object_id)
        story = getattr(request, "story", None)
        if not found or story is None:
            return []
        rows = list(fates.recipients(story, scope_of(request))[: fates.MOST])
        offered = deeds.offered(story, rows, self._queued(request, story))
        named = [(self._named(request, story, verb), url) for verb, url in found if verb.name in offered]
        return [(verb, url) for verb, url in named if verb]

    def _named(self, request: HttpRequest, story: Story, verb: Verb) -> Verb | None:
        """One that writes a rule says about whom, and asks with all that it does; None where it would do nothing."""
        if verb.name not in deeds.WHAT:
            return verb
        sender = shorten_address(deeds.sender_of(story))
        question = deeds.question(story, verb.name, scope_of(request))
        label = verb.label.replace("the sender", sender)
        return replace(verb, label=label, confirm=question) if question else None

    @admin.display(description="When", ordering="id")
    def when(self, story: Story) -> SafeString:
        """The list's column: when it came."""
        return moment(story.at)

    @admin.display(description="Became")
    def became(self, story: Any) -> SafeString:
        """The list's column: how its recipients fared."""
        return shares_as_badges(story.shares) if story.shares else badge(story.outcome)

    @admin.display(description="From")
    def sender(self, story: Story) -> SafeString:
        """The list's column: the envelope sender."""
        return address_in_list(story.whose)

    @admin.display(description="To")
    def to(self, story: Any) -> SafeString:
        """The list's column: the first recipient, and how many more."""
        first, more = first_recipient(story.shares)
        return address_in_list(first, f" and {more} more" if first and more else "")

    @admin.display(description="Subject")
    def subject_text(self, story: Story) -> SafeString:
        """The list's column: the beginning of the subject."""
        return format_html('<span class="ms-wrap ms-short">{}</span>', story.subject[:80] or "no subject")

    @admin.display(description="Why")
    def why(self, story: Any) -> SafeString:
        """The sentence, then the word that is also in reply, log and metric."""
        if story.kind == Story.Kind.NOTIFICATION and all(one.tone == "good" for one in story.shares):
            # What a notification tells is its subject.
            return SafeString("")
        share = next(iter(story.shares), None)
        sentence, word = (share.why, share.reason) if share else ("", story.reason)
        word = "" if word in WORDLESS or share and share.tone == "good" else word
        return format_html(
            '<span class="ms-wrap">{} <span class="ms-subtle">{}</span></span>',
            _brief(sentence),
            word,
        )


def _brief(sentence: str) -> str:
    return shorten(sentence, BRIEF, placeholder=" …")
