"""The search of the admin's theme, guarded against what anybody can type into an address."""

from django.contrib import admin
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse


def search(request: HttpRequest) -> HttpResponse:
    """What the theme finds; no page where it would fail on one that is not there."""
    try:
        found: HttpResponse = admin.site.search(request)  # type: ignore[attr-defined]
    except InvalidPage:
        raise Http404 from None
    return found
