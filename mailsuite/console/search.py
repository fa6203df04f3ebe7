"""The search of the admin's menu: pages by their name, and rows of what people look for most, a few of each kind.

The theme's own would make an object of every row that fits, in every table, and remember what it found for some minutes
after somebody may see it no longer.
"""

import time
from collections.abc import Iterator
from itertools import islice

from django.contrib import admin
from django.core.paginator import InvalidPage, Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from mailsuite.console.theme import ENTRIES
from mailsuite.directory.models import Alias, Domain, Mailbox, User
from mailsuite.queue.models import QueuedMessage
from mailsuite.trace.models import Story

ROWS_OF_EACH = 8
PER_PAGE = 100
KINDS = (
    (Domain, "language"),
    (Mailbox, "inbox"),
    (Alias, "alt_route"),
    (User, "person"),
    (QueuedMessage, "schedule_send"),
    (Story, "receipt_long"),
)


def search(request: HttpRequest) -> HttpResponse:
    """What is found for `?s=`, as a part of a page; a page of results that is not there is no page."""
    words = request.GET.get("s", "").strip()
    if not words:
        return HttpResponse()
    began = time.monotonic()
    found = Paginator([*_pages(request, words), *_rows(request, words)], PER_PAGE)
    try:
        results = found.page(request.GET.get("page", 1))
    except InvalidPage:
        raise Http404 from None
    context = {
        "page_obj": found,
        "results": results,
        "page_counter": results.start_index() - 1 if found.count else 0,
        "execution_time": time.monotonic() - began,
        "command_show_history": False,
    }
    return TemplateResponse(request, "unfold/helpers/command_results.html", context)


def _pages(request: HttpRequest, words: str) -> Iterator[SearchResult]:
    """The lists and settings whose name, or whose entry in the menu, holds all of the words."""
    for entry in ENTRIES:
        for tab in entry.tabs:
            name = f"{entry.title} {tab.title}".lower()
            if all(word in name for word in words.lower().split()) and tab.is_open_to(request):
                yield SearchResult(tab.title, entry.title, str(tab.link), entry.icon)


def _rows(request: HttpRequest, words: str) -> Iterator[SearchResult]:
    """The first rows of each kind that its own list finds, for whom it shows them to."""
    for model, icon in KINDS:
        lists = admin.site.get_model_admin(model)
        if not lists.has_view_permission(request):
            continue
        rows, _ = lists.get_search_results(request, lists.get_queryset(request), words)
        page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        kind = capfirst(str(model._meta.verbose_name))
        distinct = {row.pk: row for row in rows.order_by(*lists.get_ordering(request))[: 4 * ROWS_OF_EACH]}
        for row in islice(distinct.values(), ROWS_OF_EACH):
            yield SearchResult(str(row), kind, reverse(page, args=[row.pk]), icon)
