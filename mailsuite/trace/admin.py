from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailsuite.directory.admin.fields import badge
from mailsuite.directory.scoping import VIEW, ScopedAdmin, scope_of
from mailsuite.queue.models import QueuedMessage
from mailsuite.trace import services
from mailsuite.trace.findings import findings
from mailsuite.trace.models import Story


class NewestPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than MOST: nobody turns to a later page, and counting a million takes longer than finding."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.MOST].count())


@admin.register(Story)
class StoryAdmin(ScopedAdmin):
    """Read only: what happened, happened."""

    intro = "Each message that came, went or was refused, with its whole way. Senders of refused mail were told why."
    superusers_may = domain_administrators_may = frozenset({VIEW})
    list_display = ("queue_id", "at", "kind_name", "outcome_badge", "sender", "subject_text", "why")
    list_filter = ("outcome", "kind")
    # Words are looked up by mailsuite.trace.services; the field only makes the search box appear.
    search_fields = ("message_id",)
    search_help_text = "Queue id, address, Message-ID, day (2026-11-23), domain, refused, or a part of the subject"
    ordering = ("-id",)
    show_full_result_count = False
    paginator = NewestPaginator
    change_form_outer_before_template = "admin/story.html"

    def in_scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return services.visible(rows, scope_of(request))

    def get_fieldsets(self, request: HttpRequest, obj: Story | None = None) -> list[Any]:
        """None: the template above them tells it all."""
        return []

    def search(self, request: HttpRequest, rows: QuerySet[Story], words: str) -> tuple[QuerySet[Story], bool]:
        return (services.matching(rows, words, scope_of(request)) if words else rows), False

    def changeform_view(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        story = self.find(request, object_id) if object_id else None
        if story is not None:
            request.story = story  # type: ignore[attr-defined]
            request.story_client = (  # type: ignore[attr-defined]
                story.client_address if services.knows_client(story, scope_of(request)) else ""
            )
            request.story_origin = services.origin(story)  # type: ignore[attr-defined]
            request.story_about = services.about(story, scope_of(request))  # type: ignore[attr-defined]
            request.story_lines = services.tell(story, scope_of(request))  # type: ignore[attr-defined]
            queued = self.visible(request, QueuedMessage).filter(story_id=story.pk, settled_at=None)
            request.story_queued = list(queued[:2])  # type: ignore[attr-defined]
            request.story_findings = findings(story, scope_of(request))  # type: ignore[attr-defined]
            request.story_header = services.header(story)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, *args, **kwargs)

    @admin.display(description="Queue id", ordering="id")
    def queue_id(self, story: Story) -> SafeString:
        return format_html('<code class="ms-id">{}</code>', story.reference)

    @admin.display(description="Kind", ordering="kind")
    def kind_name(self, story: Story) -> str:
        return story.kind

    @admin.display(description="Outcome", ordering="outcome")
    def outcome_badge(self, story: Story) -> SafeString:
        return badge(story.outcome, services.OUTCOME_TONES.get(story.outcome, "plain"))

    @admin.display(description="Sender")
    def sender(self, story: Story) -> str:
        return story.whose

    @admin.display(description="Subject")
    def subject_text(self, story: Story) -> str:
        return story.subject[:80]

    @admin.display(description="Why", ordering="reason")
    def why(self, story: Story) -> str:
        # What a notification tells is its subject.
        return "" if story.kind == Story.Kind.NOTIFICATION else story.reason
